// A running QEMU: its process, its monitor, its console and the control port of the agent inside.
// It dies with the process that started it, by whatever signal that one dies (PR_SET_PDEATHSIG, prctl(2)).

import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { LabError } from '../errors.ts'
import { type MachineFiles, type MachineOptions, machineArguments } from './command-line.ts'
import { ControlPortClient } from './control-port-client.ts'
import { Qmp } from './qmp.ts'

export class Machine {
  readonly process: ChildProcess
  readonly qmp: Qmp
  readonly control: ControlPortClient
  readonly console: Socket
  /** Resolves with how QEMU ended, in words. */
  readonly ended: Promise<string>

  private constructor(
    process: ChildProcess,
    qmp: Qmp,
    control: ControlPortClient,
    console: Socket,
    ended: Promise<string>,
  ) {
    this.process = process
    this.qmp = qmp
    this.control = control
    this.console = console
    this.ended = ended
  }

  /** Starts QEMU; the console's output is appended to `consoleLog`. Rejects with `lab.qemu` and what QEMU said. */
  static async start(options: MachineOptions, files: MachineFiles, consoleLog: string): Promise<Machine> {
    const child = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', '--', 'qemu-system-x86_64', ...machineArguments(options, files)],
      { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', 'pipe'] },
    )
    let complaints = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      complaints = (complaints + chunk.toString()).slice(-4096)
    })
    const ended = new Promise<string>((resolve) => {
      child.on('error', (error) => resolve(error.message))
      child.on('close', (code, signal) => {
        const how = code === null ? `killed by ${signal}` : `status ${code}`
        resolve(complaints.trim() === '' ? how : `${how}: ${complaints.trim()}`)
      })
    })
    const [qmpSocket, controlSocket, console] = child.stdio.slice(3) as unknown as [Socket, Socket, Socket]
    console.on('data', (chunk) => appendFileSync(consoleLog, chunk))
    console.on('error', () => {})
    const control = new ControlPortClient(controlSocket)
    try {
      return new Machine(child, await Qmp.open(qmpSocket), control, console, ended)
    } catch {
      child.kill('SIGKILL')
      throw new LabError('lab.qemu', `Cannot start QEMU: ${await ended}`)
    }
  }

  /** Runs a saved machine from where it was saved. */
  async restore(stateFile: string): Promise<void> {
    await this.#enableSharedMemory()
    const end = this.qmp.migrationEnd()
    await this.qmp.run('migrate-incoming', { uri: `exec:cat ${shellQuote(stateFile)}` })
    await end
    await this.qmp.run('cont')
  }

  /** Stops the machine and saves all of its state but its memory, which is in the memory file already. */
  async save(stateFile: string): Promise<void> {
    await this.#enableSharedMemory()
    await this.qmp.run('stop')
    const end = this.qmp.migrationEnd()
    await this.qmp.run('migrate', { uri: `exec:cat > ${shellQuote(stateFile)}` })
    await end
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL')
    await this.ended
  }

  async #enableSharedMemory(): Promise<void> {
    const capabilities = ['x-ignore-shared', 'events'].map((capability) => ({ capability, state: true }))
    await this.qmp.run('migrate-set-capabilities', { capabilities })
  }
}

/** The last lines of a console log, for messages about a machine that does not come up. */
export function consoleTail(consoleLog: string, lineCount = 15): string {
  try {
    return readFileSync(consoleLog, 'utf8').trimEnd().split('\n').slice(-lineCount).join('\n')
  } catch {
    return '(no console output)'
  }
}

function shellQuote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}
