// The real packet engine over devices in memory, for tests that play guests frame by frame: a loop with a clock that is moved
// by hand, and what the engine said to its surroundings.
import { formatAddress } from '../address.ts'
import { MemoryDevice } from '../device/memory-device.fixture.ts'
import type { GuestMessage } from '../engine/messages.ts'
import type { FlowJournal } from '../flow/flow-journal.ts'
import { Frame } from '../frame/frame.ts'
import { parseFrame } from '../frame/parse-frame.ts'
import { defaultLimits, defaultSettings, type NetworkLimits } from '../settings.ts'
import type { StreamSockets } from '../tcp/stream-sockets.ts'
import { PacketEngine } from './packet-engine.ts'
import { PacketLoop } from './packet-loop.ts'

/** A guest's end of its wire. */
export class TestGuest {
  readonly message: GuestMessage
  readonly device = new MemoryDevice()
  readonly mac: Uint8Array
  readonly #harness: EngineHarness

  constructor(harness: EngineHarness, message: GuestMessage) {
    this.#harness = harness
    this.message = message
    this.mac = Uint8Array.from(message.mac.split(':'), (part) => Number.parseInt(part, 16))
  }

  get ipv4(): string {
    return this.message.ipv4
  }

  get ipv6(): string {
    return this.message.ipv6
  }

  /** Sends frames, lets the engine turn, and returns what it sent to this guest meanwhile. */
  send(...frames: readonly Uint8Array[]): Uint8Array<ArrayBuffer>[] {
    for (const frame of frames) this.device.push(frame)
    this.#harness.turn()
    return this.take()
  }

  /** What was sent to this guest since the last look. */
  take(): Uint8Array<ArrayBuffer>[] {
    return this.device.sent.splice(0)
  }

  get drops(): Readonly<Record<string, number>> {
    const stats = this.#harness.engine.stats().guests.find(({ guest }) => guest === this.message.id)
    return stats?.drops ?? {}
  }
}

export class EngineHarness implements Disposable {
  nowMs = 10_000
  readonly loop: PacketLoop
  readonly engine: PacketEngine
  readonly guests = new Map<string, TestGuest>()
  readonly logged: string[] = []
  readonly lost: string[] = []
  readonly questions: {
    readonly guest: string
    readonly guestPort: number
    readonly question: Uint8Array
  }[] = []
  readonly streams: number[] = []

  constructor(limits: Partial<NetworkLimits> = {}, sockets?: StreamSockets, journal?: FlowJournal) {
    this.loop = new PacketLoop({
      clock: () => this.nowMs,
      onDefect: (error) => this.engine.reportDefect(error),
    })
    this.engine = new PacketEngine({
      loop: this.loop,
      settings: { ...defaultSettings, limits: { ...defaultLimits, ...limits } },
      services: {
        dns: (guest, guestPort, _isIpv6, question) => this.questions.push({ guest, guestPort, question }),
        dnsStream: (_guest, fd) => this.streams.push(fd),
        deviceLost: (guest, reason) => this.lost.push(`${guest}: ${reason}`),
        log: (message) => this.logged.push(message),
      },
      ...(sockets === undefined ? {} : { sockets }),
      journal,
      wrapDevice: (_plain, { id }) => {
        const guest = this.guests.get(id)
        if (guest === undefined) throw new Error(`No guest ${id}`)
        return guest.device
      },
    })
  }

  /** A guest with the `number`-th addresses: 10.75.1.n and fdd4:1476:6c7e::a4b:1nn. */
  addGuest(number: number, options: Partial<GuestMessage> = {}): TestGuest {
    const id = `guest-${number}`
    const guest = new TestGuest(this, {
      type: 'guest',
      id,
      name: id,
      mac: `00:16:3e:00:00:${number.toString(16).padStart(2, '0')}`,
      ipv4: `10.75.1.${number}`,
      ipv6: formatAddress([0xfdd4_1476 | 0, 0x6c7e_0000, 0, 0x0a4b_0100 + number]),
      mtu: 1500,
      device: 'tap',
      configuration: 'static',
      guests: true,
      policy: [],
      search: [],
      ...options,
    })
    this.guests.set(id, guest)
    this.engine.addGuest(guest.message, -1)
    guest.take()
    return guest
  }

  /** Turns until nothing waits on any device. */
  turn(): void {
    do this.loop.turn(0)
    while ([...this.guests.values()].some(({ device }) => device.waiting > 0 && !device.isClosed))
    this.loop.turn(0)
  }

  /** Lets time pass. */
  pass(milliseconds: number): void {
    this.nowMs += milliseconds
    this.turn()
  }

  [Symbol.dispose](): void {
    this.engine[Symbol.dispose]()
    this.loop[Symbol.dispose]()
  }
}

export interface SeenPacket {
  readonly protocol: number
  readonly source: string
  readonly destination: string
  readonly hopLimit: number
  /** ICMP's type and code, where it is ICMP. */
  readonly icmp: string | undefined
  readonly transport: Buffer
}

/** Reads a frame that was sent to a guest as the parser does: it must be well-formed. */
export function seen(bytes: Uint8Array): SeenPacket {
  const frame = new Frame()
  frame.buffer.bytes.set(bytes)
  const fault = parseFrame(frame, bytes.length)
  if (fault !== undefined) throw new Error(`The engine sent a frame that is ${fault}`)
  const transport = Buffer.from(bytes.subarray(frame.transport, frame.end))
  const isIcmp = frame.protocol === 1 || frame.protocol === 58
  return {
    protocol: frame.protocol,
    source: formatAddress([frame.source0, frame.source1, frame.source2, frame.source3]),
    destination: formatAddress([
      frame.destination0,
      frame.destination1,
      frame.destination2,
      frame.destination3,
    ]),
    hopLimit: frame.hopLimit,
    icmp: isIcmp ? `${transport[0]}/${transport[1]}` : undefined,
    transport,
  }
}
