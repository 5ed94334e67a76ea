// The process behind one lab: owns QEMU and the lab's sockets, and lives on when the command that started it ends.
// Its configuration comes as JSON in the first argument; on its output it says one word, `listening` once it can
// be asked or `taken` when another process runs this lab.

import { rmSync } from 'node:fs'
import { ProcessLock } from '../process-lock.ts'
import { serveLab, writeIdentity } from './lab-server.ts'
import type { DaemonConfig } from './messages.ts'
import { RunningLab } from './running-lab.ts'

const farewellMs = 200

const config = JSON.parse(process.argv[2] ?? '') as DaemonConfig
const { files, isDisposable } = config
const lock = await ProcessLock.tryAcquire(files.folder)
if (!lock) {
  process.stdout.write('taken\n', () => process.exit(0))
} else {
  await run(lock)
}

async function run(lock: ProcessLock): Promise<void> {
  const lab = new RunningLab(config)

  let ending: Promise<void> | undefined
  const end = () => {
    ending ??= lab.stop().finally(() => {
      const leftovers = isDisposable
        ? [files.folder]
        : [files.labSocket, files.coreSocket, files.consoleSocket]
      for (const path of leftovers) rmSync(path, { recursive: true, force: true })
      lock.release()
    })
    return ending
  }
  const endAndExit = () => {
    // Long enough for clients to get their answers.
    end().finally(() => setTimeout(() => process.exit(), farewellMs))
  }

  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, endAndExit)
  if (isDisposable) {
    // The pipe from the process that this lab belongs to; it ends when that one does, however it ends.
    process.stdin.on('end', endAndExit).on('error', endAndExit).resume()
  }

  await serveLab(lab, async () => {
    await end()
    endAndExit()
  })
  writeIdentity(lab)
  process.stdout.write('listening\n')
  // From here on nobody reads it: the process that started this one may end.
  process.stdout.on('error', () => {})

  await lab.start()
  lab.onMachineEnd((how) => {
    if (ending) return
    process.stderr.write(`${new Date().toISOString()} the machine ended: ${how}\n`)
    endAndExit()
  })
}
