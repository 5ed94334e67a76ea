// Messages with descriptors over a unix stream socket, on Node's loop: each is a u32 length (little endian) and that many
// bytes; its descriptors travel beside its first byte. Who breaks these rules is cut off.
import koffi, { type node } from 'koffi'
import { BulkheadError } from '../errors.ts'
import { closeAll, receiveWithDescriptors, sendWithDescriptors } from './descriptor-passing.ts'
import { EAGAIN } from './errno.ts'
import type { FileDescriptor } from './file-descriptor.ts'
import { PinnedBuffer } from './pinned-buffer.ts'
import { SOL_SOCKET, socketOptionInto } from './socket.ts'
import { SystemError } from './system-error.ts'
import { duplicateDescriptor } from './unix-socket.ts'

export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024
/** What may wait for a peer that does not read. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024
const HEADER_BYTES = 4
/** struct ucred of socket(7): the process comes first. */
const UCRED_BYTES = 12
const SO_PEERCRED = 17
const CHUNK_BYTES = 64 * 1024
/** Reads of one turn of the loop: others want their turn too. */
const READS_PER_TURN = 64

export interface ChannelListener {
  /** A whole message. Its descriptors are the listener's to close, also when it throws, which ends the channel. */
  message(payload: Uint8Array<ArrayBuffer>, fds: readonly number[]): void
  /** The channel has ended, once: `reason` is undefined when the other side closed it between two messages. */
  closed(reason: Error | undefined): void
}

interface Outgoing {
  readonly buffer: PinnedBuffer
  sentBytes: number
  /** Of the channel's own, until they are sent. */
  fds: readonly number[]
}

export class DescriptorChannel implements Disposable {
  readonly #socket: FileDescriptor
  readonly #listener: ChannelListener
  readonly #poll: node.PollHandle
  readonly #chunk = new PinnedBuffer(CHUNK_BYTES)
  readonly #header = new Uint8Array(HEADER_BYTES)
  #headerFilled = 0
  #body: Uint8Array<ArrayBuffer> | undefined
  #bodyFilled = 0
  #fds: readonly number[] = []
  readonly #outgoing: Outgoing[] = []
  #waitingBytes = 0
  #isWatchingRoom = false
  #isClosed = false

  /** Takes a connected, non-blocking socket over. */
  constructor(socket: FileDescriptor, listener: ChannelListener) {
    this.#socket = socket
    this.#listener = listener
    this.#poll = koffi.node.poll(socket.fd, { readable: true }, this.#onEvents)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Who is at the other end: the process that connected, or that listened. Undefined once the channel has ended. */
  get peer(): number | undefined {
    if (this.#isClosed) return undefined
    const credentials = new PinnedBuffer(UCRED_BYTES)
    const failed = socketOptionInto(this.#socket.fd, SOL_SOCKET, SO_PEERCRED, credentials)
    const pid = credentials.view.getInt32(0, true)
    return failed >= 0 && pid > 0 ? pid : undefined
  }

  /**
   * Sends a message. The descriptors stay the caller's, who may close them at once. Does nothing once the channel has ended:
   * `closed` has told. Throws RangeError for a message that is too long.
   */
  send(payload: Uint8Array, fds: readonly number[] = []): void {
    if (this.#isClosed) return
    if (payload.length === 0 || payload.length > MAX_MESSAGE_BYTES)
      throw new RangeError(`A message of ${payload.length} bytes cannot be sent`)
    const buffer = new PinnedBuffer(HEADER_BYTES + payload.length)
    buffer.view.setUint32(0, payload.length, true)
    buffer.bytes.set(payload, HEADER_BYTES)
    const message: Outgoing = { buffer, sentBytes: 0, fds }
    if (this.#outgoing.length === 0) this.#push(message)
    if (this.#isClosed || message.sentBytes === buffer.sizeBytes) return
    message.fds = message.fds.map(duplicateDescriptor)
    this.#outgoing.push(message)
    this.#waitingBytes += buffer.sizeBytes
    if (this.#waitingBytes > MAX_WAITING_BYTES)
      this.#end(broken(`the other side has not read ${this.#waitingBytes} bytes`))
    else this.#watchRoom(true)
  }

  /** Ends it. `closed` is not called. What was not sent yet is lost. */
  [Symbol.dispose](): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#poll.close()
    this.#socket[Symbol.dispose]()
    closeAll(this.#fds)
    this.#fds = []
    for (const { fds } of this.#outgoing) closeAll(fds)
    this.#outgoing.length = 0
  }

  /** Both directions at each event: an error or the end of the connection may come as either. */
  readonly #onEvents = (): void => {
    try {
      if (this.#outgoing.length > 0) this.#flush()
      if (!this.#isClosed) this.#read()
    } catch (error) {
      // Careful: what is thrown into libuv's callback is lost, and ends the process at the next garbage collection.
      this.#end(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #read(): void {
    for (let reads = 0; reads < READS_PER_TURN && !this.#isClosed; reads++) {
      const { bytes, fds, isCutOff } = receiveWithDescriptors(this.#socket.fd, this.#chunk, 0, CHUNK_BYTES)
      if (bytes === -EAGAIN) return
      if (bytes <= 0) {
        closeAll(fds)
        this.#end(this.#endReason(bytes))
        return
      }
      this.#take(bytes, fds, isCutOff)
    }
  }

  #endReason(bytes: number): Error | undefined {
    if (bytes < 0) return new SystemError('receive messages', -bytes)
    return this.#headerFilled > 0 ? broken('it ended in the middle of a message') : undefined
  }

  #take(bytes: number, fds: readonly number[], isCutOff: boolean): void {
    try {
      // Careful: the kernel may glue what came before the descriptors in front of the message that they belong to, never
      // what comes after it: they are of the message that the last byte is a part of.
      this.#feed(0, bytes - 1, fds)
      if (this.#isClosed) {
        closeAll(fds)
        return
      }
      this.#fds = [...this.#fds, ...fds]
      if (isCutOff) throw broken('too many descriptors came beside a message')
      this.#feed(bytes - 1, bytes, [])
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)))
    }
  }

  /** Takes a part of the chunk. `held` are descriptors to close where a listener throws. */
  #feed(start: number, end: number, held: readonly number[]): void {
    try {
      for (let offset = start; offset < end && !this.#isClosed; ) {
        if (this.#body === undefined) {
          this.#header[this.#headerFilled++] = this.#chunk.bytes[offset++] ?? 0
          if (this.#headerFilled === HEADER_BYTES) this.#beginBody()
          continue
        }
        const count = Math.min(end - offset, this.#body.length - this.#bodyFilled)
        this.#body.set(this.#chunk.bytes.subarray(offset, offset + count), this.#bodyFilled)
        this.#bodyFilled += count
        offset += count
        if (this.#bodyFilled === this.#body.length) this.#deliver(this.#body)
      }
    } catch (error) {
      closeAll(held)
      throw error
    }
  }

  #beginBody(): void {
    const length = new DataView(this.#header.buffer).getUint32(0, true)
    if (length === 0 || length > MAX_MESSAGE_BYTES) throw broken(`it announced a message of ${length} bytes`)
    this.#body = new Uint8Array(length)
    this.#bodyFilled = 0
  }

  #deliver(body: Uint8Array<ArrayBuffer>): void {
    const fds = this.#fds
    this.#fds = []
    this.#body = undefined
    this.#headerFilled = 0
    this.#listener.message(body, fds)
  }

  #flush(): void {
    for (let message = this.#outgoing[0]; message !== undefined; message = this.#outgoing[0]) {
      this.#push(message)
      if (this.#isClosed || message.sentBytes < message.buffer.sizeBytes) return
      this.#waitingBytes -= message.buffer.sizeBytes
      this.#outgoing.shift()
    }
    this.#watchRoom(false)
  }

  /** Sends what the socket takes now. Descriptors of a message that waited are closed once they are sent. */
  #push(message: Outgoing): void {
    while (message.sentBytes < message.buffer.sizeBytes) {
      const { buffer, sentBytes, fds } = message
      const count = sendWithDescriptors(this.#socket.fd, buffer, sentBytes, buffer.sizeBytes - sentBytes, fds)
      if (count === -EAGAIN) return
      if (count < 0) {
        this.#end(new SystemError('send a message', -count))
        return
      }
      message.sentBytes += count
      message.fds = []
      if (this.#outgoing[0] === message) closeAll(fds)
    }
  }

  #watchRoom(wanted: boolean): void {
    if (wanted === this.#isWatchingRoom) return
    this.#isWatchingRoom = wanted
    this.#poll.start({ readable: true, writable: wanted }, this.#onEvents)
  }

  #end(reason: Error | undefined): void {
    if (this.#isClosed) return
    this[Symbol.dispose]()
    this.#listener.closed(reason)
  }
}

function broken(reason: string): BulkheadError {
  return new BulkheadError('sys.channel-broken', `Cannot go on with a connection: ${reason}`)
}
