// The settings of the network, checked: as a host's file may change them, and as they travel to the engine.
import { z } from 'zod'
import { parseAddress } from './address.ts'
import { NetError } from './errors.ts'
import { type AddressInterval, addressNumber, parseRange } from './policy/address-range.ts'
import { defaultLimits, defaultSettings, type NetworkLimits, type NetworkSettings } from './settings.ts'

const positive = z.number().int().positive().max(Number.MAX_SAFE_INTEGER)

const limits: z.ZodType<NetworkLimits> = z.strictObject({
  tcpFlows: positive,
  tcpHalfOpen: positive,
  newFlowsPerSecond: positive,
  udpFlows: positive,
  pingFlows: positive,
  windowBytes: positive,
  flowInFlightBytes: positive,
  vifInFlightBytes: positive,
  tapInFlightBytes: positive,
  outOfOrderBytes: positive,
  fragmentedDatagrams: positive,
  icmpErrorsPerSecond: positive,
  echoesPerSecond: positive,
  dnsPerSecond: positive,
  dnsOutstanding: positive,
  dnsTcpConnections: positive,
  allTcpFlows: positive,
  allUdpFlows: positive,
  allFragmentedDatagrams: positive,
  poolBytes: positive,
  allOutOfOrderBytes: positive,
  descriptors: positive,
  framesPerTurn: positive,
  tcpIdleMs: positive,
  tcpClosingMs: positive,
  udpOneWayMs: positive,
  udpAnsweredMs: positive,
  pingMs: positive,
  fragmentMs: positive,
} satisfies Record<keyof NetworkLimits, z.ZodType>)

export const macAddress = z
  .string()
  .regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/, 'must be six pairs of hex digits with colons')
export const mtu = z.number().int().min(1280).max(65_520)

export const networkSettings: z.ZodType<NetworkSettings> = z.strictObject({
  ipv4Subnet: z.cidrv4(),
  ipv6Subnet: z.cidrv6(),
  gatewayIpv4: z.ipv4(),
  gatewayIpv6: z.ipv6(),
  gatewayMac: macAddress,
  mtu,
  zone: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be one label of a name'),
  limits,
})

/** The settings with what `changes` says instead of the defaults. Throws NetError `net.bad-settings`. */
export function completeSettings(changes: unknown): NetworkSettings {
  if (!isObject(changes)) throw badSettings('they are no object')
  const { limits: changedLimits = {}, ...others } = changes
  if (!isObject(changedLimits)) throw badSettings('"limits" is no object')
  const result = networkSettings.safeParse({
    ...defaultSettings,
    ...others,
    limits: { ...defaultLimits, ...changedLimits },
  })
  if (!result.success) {
    const [issue] = result.error.issues
    throw badSettings(`"${issue?.path.join('.') ?? ''}": ${issue?.message ?? 'is wrong'}`)
  }
  checkAddresses(result.data)
  return result.data
}

/** The fewest and the most leading bits: room for guests, and numbers that one word holds. */
const IPV4_BITS = [8, 24] as const
/** Guests are numbered within a /64. */
const MOST_IPV6_BITS = 64

function checkAddresses({ ipv4Subnet, ipv6Subnet, gatewayIpv4, gatewayIpv6 }: NetworkSettings): void {
  const ipv4Bits = Number(ipv4Subnet.split('/')[1])
  const ipv6Bits = Number(ipv6Subnet.split('/')[1])
  if (ipv4Bits < IPV4_BITS[0] || ipv4Bits > IPV4_BITS[1])
    throw badSettings(
      `"ipv4Subnet" has ${ipv4Bits} leading bits, from ${IPV4_BITS.join(' to ')} are possible`,
    )
  if (ipv6Bits > MOST_IPV6_BITS)
    throw badSettings(`"ipv6Subnet" has ${ipv6Bits} leading bits, at most ${MOST_IPV6_BITS} are possible`)
  if (!isWithin(gatewayIpv4, rangeOf(ipv4Subnet)))
    throw badSettings(`"gatewayIpv4" ${gatewayIpv4} is not in ${ipv4Subnet}`)
  const { first } = rangeOf(ipv6Subnet)
  if (!isWithin(gatewayIpv6, { first, last: first + (1n << 64n) - 1n }))
    throw badSettings(`"gatewayIpv6" ${gatewayIpv6} is not in the first /64 of ${ipv6Subnet}`)
}

/** The addresses of a subnet of the settings. Throws NetError `net.bad-settings`. */
export function rangeOf(subnet: string): AddressInterval {
  try {
    const [range] = parseRange(subnet)
    if (range !== undefined) return range
  } catch (error) {
    throw badSettings(error instanceof Error ? error.message : String(error))
  }
  throw badSettings(`"${subnet}" is no range`)
}

function isWithin(address: string, { first, last }: AddressInterval): boolean {
  const number = addressNumber(parseAddress(address))
  return number >= first && number <= last
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function badSettings(reason: string): NetError {
  return new NetError('net.bad-settings', `Cannot use the settings of the network: ${reason}`)
}
