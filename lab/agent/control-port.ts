// The virtio-serial port to the lab daemon. It stays open over a snapshot: in the restored machine another daemon
// is at the other end, and until it is, the kernel reports end of file.

import { closeSync, openSync, read, readdirSync, readFileSync, write } from 'node:fs'
import { promisify } from 'node:util'
import { controlPortName, LineReader } from './protocol.ts'

const pollMs = 20
const readFromPort = promisify(read)
const writeToPort = promisify(write)

export class ControlPort {
  readonly #file: number
  #sending: Promise<unknown> = Promise.resolve()

  constructor() {
    this.#file = openSync(`/dev/${portDevice()}`, 'r+')
  }

  /** Sends one document as a line; lines never mix. */
  send(document: unknown): void {
    const line = Buffer.from(`${JSON.stringify(document)}\n`)
    this.#sending = this.#sending.then(async () => {
      for (let at = 0; at < line.length; ) {
        at += (await writeToPort(this.#file, line, at, line.length - at, null)).bytesWritten
      }
    })
  }

  /** Calls `onLine` for each line, for ever. */
  async receive(onLine: (line: string) => void): Promise<never> {
    const chunk = Buffer.alloc(64 * 1024)
    let lines = new LineReader()
    for (;;) {
      const { bytesRead } = await readFromPort(this.#file, chunk, 0, chunk.length, null)
      if (bytesRead > 0) {
        for (const line of lines.push(chunk.subarray(0, bytesRead))) onLine(line)
      } else {
        lines = new LineReader()
        await new Promise((resolve) => setTimeout(resolve, pollMs))
      }
    }
  }

  close(): void {
    closeSync(this.#file)
  }
}

function portDevice(): string {
  const folder = '/sys/class/virtio-ports'
  for (const device of readdirSync(folder)) {
    if (readFileSync(`${folder}/${device}/name`, 'utf8').trim() === controlPortName) return device
  }
  throw new Error(`Cannot find the virtio-serial port ${controlPortName}`)
}
