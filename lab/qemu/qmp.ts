// A client for QMP, QEMU's control protocol (QEMU docs/interop/qmp-spec.txt): JSON documents, one a line.

import { EventEmitter, once } from 'node:events'
import type { Socket } from 'node:net'
import { LineReader } from '../agent/protocol.ts'
import { LabError } from '../errors.ts'

interface Waiting {
  resolve(value: unknown): void
  reject(error: Error): void
}

interface QmpDocument {
  readonly QMP?: unknown
  readonly event?: string
  readonly data?: Readonly<Record<string, unknown>>
  readonly return?: unknown
  readonly error?: { readonly desc: string }
  readonly id?: number
}

export class Qmp {
  readonly #socket: Socket
  readonly #waiting = new Map<number, Waiting>()
  readonly #events = new EventEmitter()
  #nextId = 1

  private constructor(socket: Socket) {
    this.#socket = socket
    const lines = new LineReader()
    socket.on('data', (chunk) => {
      for (const line of lines.push(chunk)) this.#receive(JSON.parse(line) as QmpDocument)
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      for (const { reject } of this.#waiting.values())
        reject(new LabError('lab.qemu', 'Cannot control QEMU: it ended'))
      this.#waiting.clear()
    })
  }

  /** Waits for QEMU's greeting and leaves negotiation mode. */
  static async open(socket: Socket): Promise<Qmp> {
    const qmp = new Qmp(socket)
    await Promise.race([
      once(qmp.#events, 'greeting'),
      once(socket, 'close').then(() => {
        throw new LabError('lab.qemu', 'Cannot control QEMU: it ended before its greeting')
      }),
    ])
    await qmp.run('qmp_capabilities')
    return qmp
  }

  run(command: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new LabError('lab.qemu', 'Cannot control QEMU: it ended'))
      this.#waiting.set(id, { resolve, reject })
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: parameters, id })}\n`)
    })
  }

  /** Runs a command of the human monitor; it answers with text, which is empty when all went well. */
  async runHuman(commandLine: string): Promise<string> {
    return String(await this.run('human-monitor-command', { 'command-line': commandLine })).trim()
  }

  /** Resolves when a migration has ended; rejects with `lab.qemu` if it failed. Needs the capability `events`. */
  migrationEnd(): Promise<void> {
    return new Promise((resolve, reject) => {
      const gone = () => reject(new LabError('lab.qemu', 'Cannot finish the migration: QEMU ended'))
      this.#socket.once('close', gone)
      const onEvent = (data: Readonly<Record<string, unknown>>) => {
        const status = data.status
        if (status !== 'completed' && status !== 'failed') return
        this.#events.off('MIGRATION', onEvent)
        this.#socket.off('close', gone)
        if (status === 'completed') resolve()
        else reject(new LabError('lab.qemu', 'Cannot finish the migration: QEMU reports that it failed'))
      }
      this.#events.on('MIGRATION', onEvent)
    })
  }

  #receive(document: QmpDocument): void {
    if (document.QMP) this.#events.emit('greeting')
    if (document.event) this.#events.emit(document.event, document.data ?? {})
    const waiting = document.id === undefined ? undefined : this.#waiting.get(document.id)
    if (!waiting || document.id === undefined) return
    this.#waiting.delete(document.id)
    if (document.error)
      waiting.reject(new LabError('lab.qemu', `Cannot control QEMU: ${document.error.desc}`))
    else waiting.resolve(document.return)
  }
}
