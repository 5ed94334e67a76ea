// Puts a guest's fragmented packets together: RFC 791 §3.2, RFC 815, RFC 8200 §4.5; overlaps end the packet (RFC 5722).
// Each packet that is under way has a fixed slot of 64 KiB out of a pool of few; lengths are compared with the slot before a
// byte is copied. A guest that has too many loses its oldest, and so does the guest with the most when the pool is empty.
import type { Frame } from '../frame/frame.ts'
import { parseFrame } from '../frame/parse-frame.ts'
import type { GuestPort } from '../guest-port.ts'
import type { IcmpErrors } from '../icmp/icmp-errors.ts'
import type { PacketContext } from '../packet/packet-context.ts'
import { FragmentedPacket, isPossible } from './fragmented-packet.ts'

export interface FragmentLimits {
  /** Packets under way of one guest. */
  readonly fragmentedDatagrams: number
  readonly allFragmentedDatagrams: number
  readonly fragmentMs: number
}

export class Reassembly {
  readonly #context: PacketContext
  readonly #limits: FragmentLimits
  readonly #icmp: IcmpErrors
  /** In the order in which they began. */
  readonly #active: FragmentedPacket[] = []
  readonly #free: FragmentedPacket[] = []

  constructor(context: PacketContext, limits: FragmentLimits, icmp: IcmpErrors) {
    this.#context = context
    this.#limits = limits
    this.#icmp = icmp
  }

  /** Packets under way. */
  get size(): number {
    return this.#active.length
  }

  /**
   * Takes a fragment (`frame.isFragment`). When the packet is whole: a parsed frame of it, without offloads, whose checksum
   * is still to be verified and which is valid until the next call; else undefined. Counts what it drops.
   */
  add(port: GuestPort, frame: Frame): Frame | undefined {
    if (!isPossible(frame)) {
      port.drop('fragment')
      return undefined
    }
    const packet = this.#find(port, frame) ?? this.#begin(port, frame)
    if (packet === undefined || packet.isSpoiled) {
      port.drop('fragment')
      return undefined
    }
    const fit = packet.fit(frame)
    if (fit === 'duplicate') return undefined
    if (fit === 'spoils') {
      port.drop('fragment')
      // The rest of it is dropped too, until its time is over.
      packet.isSpoiled = true
      return undefined
    }
    packet.copy(frame)
    if (!packet.isComplete) return undefined
    this.#release(packet)
    const dropped = parseFrame(packet.frame, packet.finish())
    if (dropped === undefined) return packet.frame
    port.drop(dropped)
    return undefined
  }

  /** Lets go of all that this guest has under way. */
  portGone(port: GuestPort): void {
    for (let index = this.#active.length - 1; index >= 0; index--) {
      const packet = this.#active[index]
      if (packet?.port === port) this.#release(packet)
    }
  }

  #find(port: GuestPort, frame: Frame): FragmentedPacket | undefined {
    for (const packet of this.#active) if (packet.belongs(port, frame)) return packet
    return undefined
  }

  #begin(port: GuestPort, frame: Frame): FragmentedPacket | undefined {
    const { fragmentedDatagrams, allFragmentedDatagrams, fragmentMs } = this.#limits
    if (this.#countOf(port) >= fragmentedDatagrams) this.#evictOldest(port)
    if (this.#active.length >= allFragmentedDatagrams) this.#evictOldest(this.#greediest())
    if (this.#active.length >= allFragmentedDatagrams) return undefined
    const packet = this.#free.pop() ?? new FragmentedPacket((expired) => this.#expire(expired))
    packet.begin(port, frame)
    this.#active.push(packet)
    this.#context.timers.start(packet.timer, this.#context.nowMs + fragmentMs)
    return packet
  }

  #countOf(port: GuestPort): number {
    let count = 0
    for (const packet of this.#active) if (packet.port === port) count++
    return count
  }

  #greediest(): GuestPort | undefined {
    let most = 0
    let greediest: GuestPort | undefined
    for (const { port } of this.#active) {
      const count = port === undefined ? 0 : this.#countOf(port)
      if (count > most) {
        most = count
        greediest = port
      }
    }
    return greediest
  }

  #evictOldest(port: GuestPort | undefined): void {
    for (const packet of this.#active) {
      if (packet.port !== port) continue
      port?.drop('fragment')
      this.#release(packet)
      return
    }
  }

  #expire(packet: FragmentedPacket): void {
    const { port } = packet
    if (port === undefined) return
    port.drop('fragment')
    // Nobody is told where the first fragment never came (RFC 792, RFC 8200 §4.5).
    if (packet.firstBytes > 0 && !packet.isSpoiled)
      this.#icmp.answer(port, packet.finishFirst(), 'reassembly-time')
    this.#release(packet)
  }

  #release(packet: FragmentedPacket): void {
    const index = this.#active.indexOf(packet)
    if (index < 0) return
    this.#active.splice(index, 1)
    this.#context.timers.stop(packet.timer)
    packet.port = undefined
    this.#free.push(packet)
  }
}
