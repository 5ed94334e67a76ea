// The daemon's end of the control port: requests to the agent in dom0 and their answers.

import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { type ControlAnswer, type ControlRequest, type CoreStatus, LineReader } from '../agent/protocol.ts'
import { LabError } from '../errors.ts'

interface ControlEvents {
  ready: []
  core: [CoreStatus]
  closed: []
}

export class ControlPortClient extends EventEmitter<ControlEvents> {
  readonly #socket: Socket
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  #nextId = 1

  constructor(socket: Socket) {
    super()
    this.#socket = socket
    const lines = new LineReader()
    socket.on('data', (chunk) => {
      for (const line of lines.push(chunk)) this.#receive(line)
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      for (const { reject } of this.#waiting.values())
        reject(new LabError('lab.agent', 'Cannot ask dom0: QEMU ended'))
      this.#waiting.clear()
      this.emit('closed')
    })
  }

  request(request: ControlRequest): Promise<unknown> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new LabError('lab.agent', 'Cannot ask dom0: QEMU ended'))
      this.#waiting.set(id, { resolve, reject })
      this.#socket.write(`${JSON.stringify({ ...request, id })}\n`)
    })
  }

  #receive(line: string): void {
    const answer = parse(line)
    if (!answer) return
    if ('event' in answer) {
      if (answer.event === 'ready') this.emit('ready')
      else this.emit('core', answer.status)
      return
    }
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if ('error' in answer) waiting?.reject(new LabError('lab.agent', `Cannot settle dom0: ${answer.error}`))
    else waiting?.resolve(answer.result)
  }
}

/** A line cut by the moment of the snapshot is not a document. */
function parse(line: string): ControlAnswer | undefined {
  try {
    return JSON.parse(line) as ControlAnswer
  } catch {
    return undefined
  }
}
