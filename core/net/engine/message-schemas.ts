// The control protocol's messages, checked on arrival: the engine does not trust what it reads, nor does the core host.
// docs/contracts/net.md. Types: messages.ts.
import { z } from 'zod'
import { NetError } from '../errors.ts'
import { macAddress, mtu, networkSettings } from '../settings-schema.ts'
import {
  type EngineFlow,
  type EngineStats,
  type FromEngine,
  LONGEST_TEXT,
  type ToEngine,
} from './messages.ts'

const guestId = z.string().min(1).max(128)
const address = z.string().min(2).max(64)
const port = z.number().int().min(1).max(65_535)
const counter = z.number().min(0)
const text = z.string().max(LONGEST_TEXT)
const positive = z.number().int().positive()

const policyRule = z.strictObject({
  action: z.enum(['allow', 'deny']),
  range: address,
  protocol: z.enum(['tcp', 'udp', 'icmp']).exactOptional(),
  ports: z.tuple([port, port]).exactOptional(),
})

const guest = z.strictObject({
  type: z.literal('guest'),
  id: guestId,
  name: z.string().min(1).max(63),
  mac: macAddress,
  ipv4: z.ipv4(),
  ipv6: z.ipv6(),
  mtu,
  device: z.enum(['packet', 'tap']),
  configuration: z.enum(['static', 'foreign']),
  guests: z.boolean(),
  policy: z.array(policyRule).max(1024),
  search: z.array(z.string().max(255)).max(16),
})

const forward = {
  guest: guestId,
  protocol: z.enum(['tcp', 'udp']),
  bind: address,
  hostPort: port,
  guestPort: port,
}

const call = { type: z.literal('call'), call: z.number().int().positive() }

const toEngine: z.ZodType<ToEngine> = z.union([
  z.strictObject({
    type: z.literal('hello'),
    protocol: z.number().int(),
    settings: networkSettings,
    rawIcmp: z.strictObject({ ipv4: z.boolean(), ipv6: z.boolean() }),
  }),
  guest,
  z.strictObject({ type: z.literal('guest-gone'), id: guestId }),
  z.strictObject({ type: z.literal('forward'), ...forward }),
  z.strictObject({ type: z.literal('forward-gone'), ...forward }),
  z.strictObject({ type: z.literal('synced') }),
  z.strictObject({ type: z.literal('end') }),
  z.strictObject({ ...call, method: z.literal('settle') }),
  z.strictObject({ ...call, method: z.literal('stats') }),
  z.strictObject({ ...call, method: z.literal('flows'), guest: guestId.exactOptional() }),
  z.strictObject({
    ...call,
    method: z.literal('capture'),
    guest: guestId,
    frameBytes: positive,
    limitBytes: positive,
  }),
  z.strictObject({ ...call, method: z.literal('connect'), guest: guestId, port }),
])

const fromEngine: z.ZodType<FromEngine> = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('ready'),
    protocol: z.number().int(),
    version: text,
    startedAt: z.iso.datetime(),
    guests: z.array(guestId),
    forwards: z.array(z.strictObject(forward)),
  }),
  z.strictObject({ type: z.literal('part'), call: call.call, items: z.array(z.unknown()) }),
  z.strictObject({ type: z.literal('result'), call: call.call, result: z.unknown() }),
  z.strictObject({
    type: z.literal('error'),
    call: call.call,
    error: z.strictObject({ code: text, message: text, hint: text.exactOptional() }),
  }),
  z.strictObject({ type: z.literal('device-lost'), guest: guestId, reason: text }),
  z.strictObject({ type: z.literal('log'), message: text }),
])

const engineStats: z.ZodType<EngineStats> = z.strictObject({
  guests: z.array(
    z.strictObject({
      guest: guestId,
      inBytes: counter,
      outBytes: counter,
      inFrames: counter,
      outFrames: counter,
      tcpFlows: counter,
      udpFlows: counter,
      pingFlows: counter,
      flowsOpened: counter,
      retransmissions: counter,
      drops: z.record(z.string().max(64), counter),
    }),
  ),
  residentBytes: counter,
  cpuTimeMs: counter,
  flows: counter,
  poolBytes: counter,
  descriptors: counter,
})

const engineFlows: z.ZodType<readonly EngineFlow[]> = z.array(
  z.strictObject({
    guest: guestId,
    protocol: z.enum(['tcp', 'udp', 'icmp']),
    direction: z.enum(['out', 'in']),
    guestEnd: text,
    remoteEnd: text,
    state: text,
    inBytes: counter,
    outBytes: counter,
    ageMs: counter,
    idleMs: counter,
  }),
)

/** Each throws NetError `net.protocol` where what came is something else. */
export const readToEngine = (payload: Uint8Array) => check(toEngine, parseJson(payload), 'the core host')
export const readFromEngine = (payload: Uint8Array) => check(fromEngine, parseJson(payload), 'the engine')
export const readStats = (value: unknown) => check(engineStats, value, 'the engine')
export const readFlows = (value: unknown) => check(engineFlows, value, 'the engine')

/** The bytes of a message. */
export function writeMessage(message: ToEngine | FromEngine): Buffer {
  return Buffer.from(JSON.stringify(message))
}

function parseJson(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload))
  } catch (error) {
    throw new NetError('net.protocol', 'Cannot read a message of the network engine: it is not JSON', {
      cause: error,
    })
  }
}

function check<T>(schema: z.ZodType<T>, value: unknown, sender: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw new NetError(
    'net.protocol',
    `Cannot read a message of ${sender}: ${issue?.path.join('.') ?? ''} ${issue?.message ?? 'is wrong'}`,
  )
}
