// A program in dom0, or the machine's console, on the terminal of the person who asked.

import { connect } from 'node:net'
import { constants } from 'node:os'
import type { LabFiles } from './daemon/lab-files.ts'
import { startOperation, unreachable } from './lab-client.ts'

/** Ctrl-] as in telnet and `xl console`. */
const detachByte = 0x1d

/** Runs a program in dom0 with this process's input and outputs; resolves with its exit status as a shell counts it. */
export async function execInLab(files: LabFiles, argv: readonly string[]): Promise<number> {
  const operation = startOperation(
    files.labSocket,
    { verb: 'exec', argv },
    { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr },
  )
  const forwardSignal = (signal: string) => operation.sendSignal(signal)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, forwardSignal)
  const { code, signal } = await operation.exit
  process.stdin.pause()
  return code ?? 128 + (constants.signals[signal as NodeJS.Signals] ?? 0)
}

/** A login shell in dom0 on this process's terminal. */
export async function shellInLab(files: LabFiles): Promise<number> {
  const { stdin, stdout } = process
  if (!stdin.isTTY || !stdout.isTTY) return execInLab(files, ['bash', '-l'])
  const size = () => ({ rows: stdout.rows, columns: stdout.columns })
  const operation = startOperation(
    files.labSocket,
    { verb: 'exec', argv: ['bash', '-l'], terminal: size() },
    { stdin, stdout, stderr: stdout },
  )
  stdin.setRawMode(true)
  stdout.on('resize', () => operation.resize(size()))
  try {
    return (await operation.exit).code ?? 0
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
  }
}

/** Shows the serial console of Xen and dom0 and types into it, until Ctrl-] or the end of the lab. */
export function attachConsole(files: LabFiles): Promise<void> {
  const { stdin, stdout } = process
  return new Promise((resolve, reject) => {
    const connection = connect(files.consoleSocket)
    connection.on('error', (cause) => reject(unreachable(files.consoleSocket, cause)))
    connection.on('connect', () => {
      if (stdin.isTTY) {
        process.stderr.write(
          'Console of Xen and dom0. Ctrl-] leaves; Ctrl-A three times switches between the two.\n',
        )
        stdin.setRawMode(true)
      }
      stdin.on('data', (chunk: Buffer) => {
        if (stdin.isTTY && chunk.includes(detachByte)) connection.end()
        else connection.write(chunk)
      })
    })
    connection.on('data', (chunk) => stdout.write(chunk))
    connection.on('close', () => {
      if (stdin.isTTY) stdin.setRawMode(false)
      stdin.pause()
      resolve()
    })
  })
}
