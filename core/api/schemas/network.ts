// A guest's network: how it is asked for, what it was given, and what can be seen of it. docs/networking.md.
import { z } from 'zod'
import { guestId, guestKey, guestName, timestamp } from './common.ts'

const port = z.number().int().min(1).max(65535)
const counter = z.number().int().min(0)

export const portProtocol = z.enum(['tcp', 'udp'])

/** A port of the host that leads into a guest. */
export const publishedPort = z.strictObject({
  protocol: portProtocol,
  /** Address of the host that is listened on: IPv4 or IPv6, without brackets; loopback of both families when empty. */
  bind: z.string().max(64).default(''),
  /** 0 lets the host choose one that is free. */
  hostPort: z.number().int().min(0).max(65535),
  guestPort: port,
})

/** What a guest may open connections to: the first rule that fits decides; what no rule names is allowed. */
export const policyRule = z.strictObject({
  action: z.enum(['allow', 'deny']),
  /** An address or a range, `192.0.2.0/24`, `2001:db8::/32`; `any` for all. */
  range: z.string().min(1).max(64),
  protocol: z.enum(['tcp', 'udp', 'icmp']).optional(),
  /** First and last port; only with TCP and UDP. */
  ports: z.tuple([port, port]).optional(),
})

/** Of `guests.create`. */
export const networkSpec = z.strictObject({
  kind: z.enum(['nat', 'none']).default('nat'),
  ports: z.array(publishedPort).max(4096).default([]),
  /** Whether it may talk to other guests, and they to it. */
  guests: z.boolean().default(true),
  policy: z.array(policyRule).max(1024).default([]),
  /** Instead of what the host uses. */
  dns: z
    .strictObject({
      servers: z.array(z.string().max(64)).max(3).default([]),
      search: z.array(z.string().max(255)).max(16).default([]),
      options: z.array(z.string().max(64)).max(16).default([]),
    })
    .default({ servers: [], search: [], options: [] }),
})

/** What a guest has on its network, of `guests.inspect` and `network.list`. */
export const guestNetwork = z.strictObject({
  kind: z.enum(['nat', 'none']),
  mac: z.string().optional(),
  ipv4: z.string().optional(),
  ipv6: z.string().optional(),
  guests: z.boolean(),
  /** As they are open: a host port of 0 has become the one that was chosen. Empty while the guest does not run. */
  ports: z.array(publishedPort),
  policy: z.array(policyRule),
})

/** The process that carries the guests' traffic. */
export const networkEngine = z.strictObject({
  state: z.enum(['running', 'starting', 'failed']),
  /** Since when the one that runs does. */
  since: timestamp.optional(),
  /** How often it ended and was started again since the core host began. */
  restarts: counter,
  /** Why it does not run. */
  message: z.string().optional(),
})

export const networkList = z.strictObject({
  gateway: z.strictObject({ mac: z.string(), ipv4: z.string(), ipv6: z.string() }),
  subnets: z.strictObject({ ipv4: z.string(), ipv6: z.string() }),
  mtu: z.number(),
  engine: networkEngine,
  guests: z.array(
    z.strictObject({
      id: guestId,
      name: guestName,
      isRunning: z.boolean(),
      ...guestNetwork.shape,
    }),
  ),
})

/** What one guest's wire has seen. "In" is toward the guest. Counted since the engine met the guest. */
export const guestTraffic = z.strictObject({
  guest: guestId,
  name: guestName,
  inBytes: counter,
  outBytes: counter,
  inFrames: counter,
  outFrames: counter,
  /** Open now. */
  tcpFlows: counter,
  udpFlows: counter,
  pingFlows: counter,
  /** Opened so far, of all three. */
  flowsOpened: counter,
  retransmissions: counter,
  /** Frames that were not carried, by reason (`spoofed-source`, `policy`, `bad-checksum`, `device-full`, …). */
  drops: z.record(z.string(), counter),
})

export const networkStats = z.strictObject({
  guests: z.array(guestTraffic),
  engine: z.strictObject({
    residentBytes: counter,
    cpuTimeMs: z.number(),
    flows: counter,
    /** Memory that holds what guests have not acknowledged yet. */
    poolBytes: counter,
    descriptors: counter,
  }),
})

export const networkFlow = z.strictObject({
  guest: guestId,
  name: guestName,
  protocol: z.enum(['tcp', 'udp', 'icmp']),
  /** Who opened it: `out` the guest, `in` somebody who came through a published port. */
  direction: z.enum(['out', 'in']),
  /** `ADDRESS:PORT`, IPv6 in brackets; of a ping the port is its identifier. */
  guestEnd: z.string(),
  remoteEnd: z.string(),
  /** `connecting`, `established`, `half-closed`, `closing`; of UDP and ping `one-way` or `answered`. */
  state: z.string(),
  inBytes: counter,
  outBytes: counter,
  ageMs: counter,
  idleMs: counter,
})

export const oneOrAllGuests = z.strictObject({ guest: guestKey.optional() })

export const publishPorts = z.strictObject({
  guest: guestKey,
  ports: z.array(publishedPort).min(1).max(4096),
})
export const publishedPorts = z.strictObject({ ports: z.array(publishedPort) })

export const captureTraffic = z.strictObject({
  guest: guestKey,
  /** Of each frame, from its Ethernet header on. */
  frameBytes: z.number().int().min(64).max(65_600).default(65_600),
  /** The capture ends before it would be larger. */
  limitBytes: z.number().int().min(4096).max(68_719_476_736).default(67_108_864),
})

export const connectPort = z.strictObject({ guest: guestKey, port })
