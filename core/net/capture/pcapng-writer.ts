// A capture of one guest's wire in pcapng: every frame that its port sends or receives, with a time, a direction as the guest
// sees it, and its checksum ended. It hangs on the guest's port until it ends. docs/networking.md.
import { EPIPE } from '../../sys/errno.ts'
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { NetError } from '../errors.ts'
import { DROP } from '../frame/drop-reason.ts'
import {
  FLAG_NEEDS_CHECKSUM,
  VIRTIO_CHECKSUM_OFFSET,
  VIRTIO_CHECKSUM_START,
  VIRTIO_FLAGS,
  VIRTIO_HEADER_BYTES,
} from '../frame/layout.ts'
import { completeChecksum } from '../frame/partial-checksum.ts'
import type { FrameTap, GuestPort } from '../guest-port.ts'
import type { PacketContext } from '../packet/packet-context.ts'
import { CaptureSink } from './capture-sink.ts'
import {
  PACKET_DATA,
  packetBlockBytes,
  STATISTICS_BLOCK_BYTES,
  writeHeaderBlocks,
  writePacketBlock,
  writeStatisticsBlock,
} from './pcapng-blocks.ts'

export interface CaptureOptions {
  readonly context: PacketContext
  readonly port: GuestPort
  /** A socket, pipe or file; the capture's own from now on. A socket whose other end is shut down for writing is asked to end. */
  readonly fd: number
  /** Of each frame at most so many bytes are kept. */
  readonly frameBytes: number
  /** The capture ends before its file would be larger. */
  readonly limitBytes: number
  /** Told once, when the descriptor is closed. */
  readonly onEnd?: (summary: CaptureSummary) => void
}

export interface CaptureSummary {
  /** Frames that passed, and of these those that the reader was too slow for. */
  readonly frames: number
  readonly dropped: number
  /** Of the file. */
  readonly bytes: number
  /** `reader` closed its end; `failed` with an errno, of a full disk for example. */
  readonly reason: 'ended' | 'limit' | 'reader' | 'failed'
  readonly errno: number
}

const COMMENT =
  'Frames as they pass between the guest and Bulkhead. With segmentation offload one frame holds up to 64 KiB, which a network card would cut into segments. Checksums that were left to offload are filled in.'

/**
 * Captures what passes on `port` from now on. Throws NetError `net.capture` where it is captured already or `fd` is nothing to
 * write to, and leaves the descriptor alone then.
 */
export function startCapture(options: CaptureOptions): PcapngWriter {
  const { port } = options
  const cannot = (reason: string, cause?: unknown) =>
    new NetError('net.capture', `Cannot capture the network of guest "${port.name}": ${reason}`, { cause })
  if (port.capture !== undefined) throw cannot('it is captured already')
  try {
    const writer = new PcapngWriter(options)
    port.capture = writer
    return writer
  } catch (error) {
    throw cannot(error instanceof Error ? error.message : String(error), error)
  }
}

export class PcapngWriter implements FrameTap {
  readonly #port: GuestPort
  readonly #frameBytes: number
  readonly #limitBytes: number
  readonly #onEnd: ((summary: CaptureSummary) => void) | undefined
  readonly #sink: CaptureSink
  /** Microseconds since 1970 at the zero of performance.now(): from then on time goes forward, whoever sets the clock. */
  readonly #epochUs = Math.round((Date.now() - performance.now()) * 1000)
  readonly #startUs: number
  readonly #overrunsBefore: number
  #frames = 0
  #dropped = 0
  #bytes = 0
  #isEnding = false
  #reason: CaptureSummary['reason'] = 'reader'

  constructor({ context, port, fd, frameBytes, limitBytes, onEnd }: CaptureOptions) {
    this.#port = port
    this.#frameBytes = frameBytes
    this.#limitBytes = limitBytes
    this.#onEnd = onEnd
    this.#startUs = this.#nowUs()
    this.#overrunsBefore = this.#overruns
    this.#sink = new CaptureSink(
      context,
      fd,
      (errno) => this.#closed(errno),
      () => this.end(),
    )
    const header = writeHeaderBlocks({
      name: port.name,
      description: `Guest ${port.name} (${port.id.slice(0, 12)})`,
      comment: COMMENT,
      mac: port.mac,
      frameBytes,
    })
    this.#sink.buffer.bytes.set(header, this.#sink.reserve(header.length))
    this.#sink.take(header.length)
    this.#bytes = header.length
  }

  get droppedFrames(): number {
    return this.#dropped
  }

  frame(
    toGuest: boolean,
    header: PinnedBuffer,
    headerBytes: number,
    payload: PinnedBuffer,
    payloadOffset: number,
    payloadBytes: number,
  ): void {
    // A device may give less than its own header; the port drops that.
    if (this.#isEnding || headerBytes < VIRTIO_HEADER_BYTES) return
    const ofHeader = headerBytes - VIRTIO_HEADER_BYTES
    const wireBytes = ofHeader + payloadBytes
    const keptBytes = Math.min(wireBytes, this.#frameBytes)
    const blockBytes = packetBlockBytes(keptBytes)
    if (this.#bytes + blockBytes + STATISTICS_BLOCK_BYTES > this.#limitBytes) {
      this.#end('limit')
      return
    }
    this.#frames++
    // The whole frame is laid down, since its checksum needs all of it; what is not kept is written over by the next one.
    const at = this.#sink.reserve(packetBlockBytes(wireBytes) + STATISTICS_BLOCK_BYTES)
    if (at < 0) {
      this.#dropped++
      return
    }
    const { buffer } = this.#sink
    const data = at + PACKET_DATA
    buffer.bytes.set(header.bytes.subarray(VIRTIO_HEADER_BYTES, headerBytes), data)
    if (payloadBytes > 0) {
      buffer.bytes.set(payload.bytes.subarray(payloadOffset, payloadOffset + payloadBytes), data + ofHeader)
    }
    if ((header.view.getUint8(VIRTIO_FLAGS) & FLAG_NEEDS_CHECKSUM) !== 0) {
      const start = header.view.getUint16(VIRTIO_CHECKSUM_START, true)
      const offset = header.view.getUint16(VIRTIO_CHECKSUM_OFFSET, true)
      completeChecksum(buffer, data, wireBytes, start, offset)
    }
    writePacketBlock(buffer, at, toGuest, this.#nowUs(), keptBytes, wireBytes)
    this.#sink.take(blockBytes)
    this.#bytes += blockBytes
  }

  /** Ends the capture: what waits is still written, and the statistics; then the descriptor is closed. */
  end(): void {
    this.#end('ended')
  }

  /** Closes the descriptor at once, whatever waits. */
  [Symbol.dispose](): void {
    this.#reason = 'ended'
    this.#leavePort()
    this.#sink.close()
  }

  #end(reason: 'ended' | 'limit'): void {
    if (this.#isEnding) return
    this.#reason = reason
    this.#leavePort()
    const statistics = writeStatisticsBlock({
      startUs: this.#startUs,
      endUs: this.#nowUs(),
      received: this.#frames,
      dropped: this.#dropped,
      droppedByKernel: this.#overruns - this.#overrunsBefore,
    })
    this.#bytes += statistics.length
    this.#sink.end(statistics)
  }

  #closed(errno: number): void {
    this.#leavePort()
    const isFailure = errno !== 0
    this.#onEnd?.({
      frames: this.#frames,
      dropped: this.#dropped,
      bytes: this.#bytes,
      reason: isFailure ? (errno === EPIPE ? 'reader' : 'failed') : this.#reason,
      errno,
    })
  }

  #leavePort(): void {
    this.#isEnding = true
    if (this.#port.capture === this) this.#port.capture = undefined
  }

  get #overruns(): number {
    return this.#port.drops[DROP['device-overrun']] ?? 0
  }

  #nowUs(): number {
    return this.#epochUs + Math.round(performance.now() * 1000)
  }
}
