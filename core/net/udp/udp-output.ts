// From the guest to the host's sockets. The frames of one turn are gathered and sent at its end, those of a flow in one call:
// as a train of segments where they are of one size (UDP_SEGMENT), else by sendmmsg. Waiting costs nothing that could be
// measured: a turn is over as soon as no frame waits.
import { DatagramSender } from '../../sys/datagram-batch.ts'
import { DatagramMessage } from '../../sys/datagram-message.ts'
import { EINVAL, EIO, EMSGSIZE } from '../../sys/errno.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { sendBytes } from '../../sys/socket.ts'
import type { PacketContext, TurnTask } from '../packet/packet-context.ts'
import type { UdpFlow } from './udp-flow.ts'

const ARENA_BYTES = 512 * 1024
const MAX_PENDING = 512
/** Larger ones are sent at once: copying them costs more than the call. */
const LARGEST_GATHERED_BYTES = 4_096
/** UDP_MAX_SEGMENTS of Linux 6.1, and what one IP packet could hold. */
const MAX_SEGMENTS = 64
/** That of later kernels: what a guest's may leave whole. A train of more is made to cost a call for each of its bytes. */
const MAX_TRAIN_SEGMENTS = 128
const MAX_TRAIN_BYTES = 65_000
const NONE = -1

export interface UdpSendErrors {
  /** The host's socket refused a datagram. True when it is worth to try once more. */
  sendFailed(flow: UdpFlow, errno: number): boolean
}

export class UdpOutput implements TurnTask {
  isDue = false
  readonly #context: PacketContext
  readonly #errors: UdpSendErrors
  readonly #arena = new PinnedBuffer(ARENA_BYTES)
  readonly #offsets = new Int32Array(MAX_PENDING)
  readonly #lengths = new Int32Array(MAX_PENDING)
  readonly #next = new Int32Array(MAX_PENDING)
  readonly #flows: UdpFlow[] = []
  readonly #sender = new DatagramSender(MAX_SEGMENTS)
  readonly #message = new DatagramMessage()
  #usedBytes = 0
  #pending = 0

  constructor(context: PacketContext, errors: UdpSendErrors) {
    this.#context = context
    this.#errors = errors
  }

  /** Takes a datagram. Its bytes are copied, or sent at once. */
  add(flow: UdpFlow, buffer: PinnedBuffer, offset: number, length: number): void {
    if (length > LARGEST_GATHERED_BYTES) {
      if (flow.firstPending !== NONE) this.flush()
      this.#sendOne(flow, buffer, offset, length)
      return
    }
    if (this.#pending === MAX_PENDING || this.#usedBytes + length > ARENA_BYTES) this.flush()
    const entry = this.#pending++
    this.#arena.bytes.set(buffer.bytes.subarray(offset, offset + length), this.#usedBytes)
    this.#offsets[entry] = this.#usedBytes
    this.#lengths[entry] = length
    this.#next[entry] = NONE
    this.#usedBytes += length
    if (flow.firstPending === NONE) {
      flow.firstPending = entry
      this.#flows.push(flow)
    } else this.#next[flow.lastPending] = entry
    flow.lastPending = entry
    this.#context.due(this)
  }

  /** Sends a train that the guest's kernel left whole (virtio's USO): segments of `segmentBytes`. */
  addTrain(flow: UdpFlow, buffer: PinnedBuffer, offset: number, length: number, segmentBytes: number): void {
    if (flow.firstPending !== NONE) this.flush()
    if (length > segmentBytes * MAX_TRAIN_SEGMENTS) {
      flow.port.drop('bad-offload')
      return
    }
    if (flow.maySegment && this.#sendTrain(flow, buffer, offset, length, segmentBytes)) return
    for (let at = 0; at < length; at += segmentBytes)
      this.#sendOne(flow, buffer, offset + at, Math.min(segmentBytes, length - at))
  }

  atEndOfTurn(): void {
    this.flush()
  }

  /** Sends all that waits. */
  flush(): void {
    for (let index = 0; index < this.#flows.length; index++) {
      const flow = this.#flows[index]
      if (flow === undefined) continue
      const first = flow.firstPending
      flow.firstPending = NONE
      flow.lastPending = NONE
      if (!flow.isClosed) this.#sendAll(flow, first)
    }
    this.#flows.length = 0
    this.#pending = 0
    this.#usedBytes = 0
  }

  #sendAll(flow: UdpFlow, first: number): void {
    if (flow.client !== undefined || (this.#next[first] ?? NONE) === NONE) {
      for (let entry = first; entry !== NONE; entry = this.#next[entry] ?? NONE)
        this.#sendOne(flow, this.#arena, this.#offsets[entry] ?? 0, this.#lengths[entry] ?? 0)
      return
    }
    for (let entry = first; entry !== NONE; ) entry = this.#sendSome(flow, entry)
  }

  /** Sends up to a call's worth from `first` on. Returns the entry to go on with. */
  #sendSome(flow: UdpFlow, first: number): number {
    const sender = this.#sender
    const start = this.#offsets[first] ?? 0
    const segmentBytes = this.#lengths[first] ?? 0
    // A train: all of one size, only the last shorter, one behind the other in the arena.
    let isTrain = flow.maySegment && segmentBytes > 0
    let end = start
    let previousBytes = segmentBytes
    let entry = first
    sender.clear()
    while (entry !== NONE && sender.count < sender.capacity) {
      const offset = this.#offsets[entry] ?? 0
      const length = this.#lengths[entry] ?? 0
      if (
        isTrain &&
        (offset !== end || length > segmentBytes || previousBytes !== segmentBytes || length === 0)
      )
        isTrain = false
      sender.add(this.#arena, offset, length)
      end = offset + length
      previousBytes = length
      entry = this.#next[entry] ?? NONE
    }
    if (isTrain && end - start <= MAX_TRAIN_BYTES && sender.count > 1)
      if (this.#sendTrain(flow, this.#arena, start, end - start, segmentBytes)) return entry
    this.#sendBatch(flow)
    return entry
  }

  #sendBatch(flow: UdpFlow): void {
    const sender = this.#sender
    let hasRetried = false
    for (let sent = 0; sent < sender.count && !flow.isClosed; ) {
      const taken = sender.send(flow.fd, sent)
      if (taken > 0) sent += taken
      else if (!this.#errors.sendFailed(flow, -taken) || hasRetried) sent++
      else hasRetried = true
    }
    sender.clear()
  }

  /** False where the kernel takes no trains on this flow's path. */
  #sendTrain(
    flow: UdpFlow,
    buffer: PinnedBuffer,
    offset: number,
    length: number,
    segmentBytes: number,
  ): boolean {
    this.#describe(flow)
    this.#message.segments(segmentBytes)
    for (let attempt = 0; ; attempt++) {
      const taken = this.#message.send(flow.fd, buffer, offset, 0, buffer, offset, length)
      if (taken >= 0) return true
      // A path that cannot (EIO), segments beyond its MTU or too many (EINVAL, EMSGSIZE): one by one, from now on.
      if (taken === -EINVAL || taken === -EIO || taken === -EMSGSIZE) {
        flow.maySegment = false
        return false
      }
      if (!this.#errors.sendFailed(flow, -taken) || attempt > 0 || flow.isClosed) return true
    }
  }

  #sendOne(flow: UdpFlow, buffer: PinnedBuffer, offset: number, length: number): void {
    for (let attempt = 0; !flow.isClosed; attempt++) {
      let taken: number
      if (flow.client === undefined) taken = sendBytes(flow.fd, buffer, offset, length)
      else {
        this.#describe(flow)
        taken = this.#message.send(flow.fd, buffer, offset, 0, buffer, offset, length)
      }
      if (taken >= 0 || !this.#errors.sendFailed(flow, -taken) || attempt > 0) return
    }
  }

  /** To whom and from where, of the flows of a published port. */
  #describe(flow: UdpFlow): void {
    const message = this.#message
    message.clear()
    const { client } = flow
    if (client === undefined) return
    message.to(client.remote0, client.remote1, client.remote2, client.remote3, client.remotePort)
    if (client.local3 !== 0 || client.local0 !== 0)
      message.from(client.local0, client.local1, client.local2, client.local3)
  }
}
