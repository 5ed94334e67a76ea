// A guest's output on its way to our own stdout and stderr: each at the speed of whoever reads it, acknowledged
// when it is written, so that a slow reader holds back the program and not memory.
import type { Writable } from 'node:stream'
import type { CoreStream, OutputStream, StreamReader } from '../../../core/client/core-stream.ts'
import { byteSize } from '../output/quantities.ts'

export class OutputPump {
  readonly reader: StreamReader
  readonly #outputs: Readonly<Record<OutputStream, Writable>>
  readonly #broken = Promise.withResolvers<Error>()
  readonly #isBroken = new Set<OutputStream>()
  #stream: CoreStream | undefined
  #writing = 0
  #allWritten: PromiseWithResolvers<void> | undefined

  constructor(stdout: Writable, stderr: Writable) {
    this.#outputs = { 1: stdout, 2: stderr }
    this.reader = {
      data: (output, bytes, offset) => this.#write(output, bytes, offset + bytes.length),
      skip: (_output, skippedBytes) => this.#tellSkip(skippedBytes),
    }
  }

  /** Fulfilled with the reason when stdout takes no more. */
  get broken(): Promise<Error> {
    return this.#broken.promise
  }

  /** Where to acknowledge; to be called before the first data comes. */
  acknowledgeTo(stream: CoreStream): void {
    this.#stream = stream
  }

  /** Resolves when everything that came is with the operating system. */
  async flushed(): Promise<void> {
    if (this.#writing === 0) return
    this.#allWritten ??= Promise.withResolvers()
    await this.#allWritten.promise
  }

  #write(output: OutputStream, bytes: Uint8Array, end: number): void {
    if (this.#isBroken.has(output)) {
      this.#stream?.acknowledge(output, end) // Nobody reads it: the program shall not wait for that.
      return
    }
    this.#writing++
    this.#outputs[output].write(bytes, (error) => {
      if (error) this.#break(output, error)
      this.#stream?.acknowledge(output, end)
      if (--this.#writing > 0) return
      this.#allWritten?.resolve()
      this.#allWritten = undefined
    })
  }

  #break(output: OutputStream, error: Error): void {
    this.#isBroken.add(output)
    if (output === 1) this.#broken.resolve(error)
  }

  #tellSkip(skippedBytes: number): void {
    if (this.#isBroken.has(2)) return
    this.#outputs[2].write(`\r\n… ${byteSize(skippedBytes)} skipped\r\n`, (error) => {
      if (error) this.#break(2, error)
    })
  }
}
