// What the network of all guests looks like and what it allows: the defaults, which a host's settings change.
// Limits: DESIGN 4.7 and docs/networking.md, which says why each is what it is.

export interface NetworkLimits {
  /** Per guest. */
  readonly tcpFlows: number
  readonly tcpHalfOpen: number
  readonly newFlowsPerSecond: number
  readonly udpFlows: number
  readonly pingFlows: number
  /** What a guest's TCP may have on its way to the host's socket, per flow. */
  readonly windowBytes: number
  /** What one flow may have unacknowledged toward the guest. */
  readonly flowInFlightBytes: number
  /** The sum of that for one guest: on a vif netback drops beyond 512 KiB. */
  readonly vifInFlightBytes: number
  readonly tapInFlightBytes: number
  readonly outOfOrderBytes: number
  readonly fragmentedDatagrams: number
  readonly icmpErrorsPerSecond: number
  readonly echoesPerSecond: number
  readonly dnsPerSecond: number
  readonly dnsOutstanding: number
  readonly dnsTcpConnections: number
  /** Of the engine. */
  readonly allTcpFlows: number
  readonly allUdpFlows: number
  readonly allFragmentedDatagrams: number
  readonly poolBytes: number
  readonly allOutOfOrderBytes: number
  readonly descriptors: number
  readonly framesPerTurn: number
  /** After which a flow that says nothing is given up. */
  readonly tcpIdleMs: number
  readonly tcpClosingMs: number
  readonly udpOneWayMs: number
  readonly udpAnsweredMs: number
  readonly pingMs: number
  readonly fragmentMs: number
}

export interface NetworkSettings {
  /** `10.75.0.0/16` */
  readonly ipv4Subnet: string
  /** `fdd4:1476:6c7e::/48`; guests are in its first /64. */
  readonly ipv6Subnet: string
  readonly gatewayIpv4: string
  readonly gatewayIpv6: string
  readonly gatewayMac: string
  readonly mtu: number
  /** The zone of guests' names. */
  readonly zone: string
  readonly limits: NetworkLimits
}

const KIB = 1024
const MIB = 1024 * KIB
const MINUTE_MS = 60_000

export const defaultLimits: NetworkLimits = {
  tcpFlows: 16_384,
  tcpHalfOpen: 1_024,
  newFlowsPerSecond: 20_000,
  udpFlows: 2_048,
  pingFlows: 64,
  windowBytes: MIB,
  flowInFlightBytes: MIB,
  vifInFlightBytes: 384 * KIB,
  tapInFlightBytes: 4 * MIB,
  outOfOrderBytes: 4 * MIB,
  fragmentedDatagrams: 16,
  icmpErrorsPerSecond: 100,
  echoesPerSecond: 100,
  dnsPerSecond: 200,
  dnsOutstanding: 64,
  dnsTcpConnections: 4,
  allTcpFlows: 65_536,
  allUdpFlows: 16_384,
  allFragmentedDatagrams: 64,
  poolBytes: 64 * MIB,
  allOutOfOrderBytes: 64 * MIB,
  descriptors: 131_072,
  framesPerTurn: 64,
  /** RFC 5382 REQ-5. */
  tcpIdleMs: 124 * MINUTE_MS,
  tcpClosingMs: 4 * MINUTE_MS,
  udpOneWayMs: 30_000,
  /** RFC 4787 REQ-5: at least two minutes. */
  udpAnsweredMs: 180_000,
  pingMs: 30_000,
  fragmentMs: 30_000,
}

export const defaultSettings: NetworkSettings = {
  ipv4Subnet: '10.75.0.0/16',
  ipv6Subnet: 'fdd4:1476:6c7e::/48',
  gatewayIpv4: '10.75.0.1',
  gatewayIpv6: 'fdd4:1476:6c7e::1',
  gatewayMac: '02:42:4b:00:00:01',
  mtu: 1500,
  zone: 'guest',
  limits: defaultLimits,
}
