// docs/networking.md tells people every limit and every reason for a drop: it is held to what the code has.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { dropReasons } from '../../core/net/frame/drop-reason.ts'
import { alwaysClosed } from '../../core/net/policy/closed-ranges.ts'
import { defaultLimits, defaultSettings, type NetworkLimits } from '../../core/net/settings.ts'

const text = readFileSync(join(import.meta.dirname, '../../docs/networking.md'), 'utf8')
const lines = text.split('\n')

/** Which row of the table has which limits. */
const rows: Readonly<Record<string, readonly (keyof NetworkLimits)[]>> = {
  'TCP flows': ['tcpFlows', 'allTcpFlows'],
  'TCP half open': ['tcpHalfOpen'],
  'new flows in a second': ['newFlowsPerSecond'],
  'UDP flows': ['udpFlows', 'allUdpFlows'],
  'pings under way': ['pingFlows'],
  'what one TCP flow may have on its way to the host': ['windowBytes'],
  'unacknowledged toward the guest': [
    'flowInFlightBytes',
    'vifInFlightBytes',
    'tapInFlightBytes',
    'poolBytes',
  ],
  'out-of-order data': ['outOfOrderBytes', 'allOutOfOrderBytes'],
  'datagrams being put together': ['fragmentedDatagrams', 'allFragmentedDatagrams', 'fragmentMs'],
  'ICMP errors from us': ['icmpErrorsPerSecond', 'echoesPerSecond'],
  DNS: ['dnsPerSecond', 'dnsOutstanding', 'dnsTcpConnections'],
  descriptors: ['descriptors'],
  'frames in a turn': ['framesPerTurn'],
  'silence of a TCP flow': ['tcpIdleMs', 'tcpClosingMs'],
  'silence of a UDP flow': ['udpOneWayMs', 'udpAnsweredMs'],
  'silence of a ping': ['pingMs'],
}

function written(limit: keyof NetworkLimits): string {
  const value = defaultLimits[limit]
  if (limit.endsWith('Bytes')) return value < 2 ** 20 ? `${value / 1024} KiB` : `${value / 2 ** 20} MiB`
  if (limit.endsWith('Ms')) return duration(value / 1000)
  return value.toLocaleString('en-GB', { useGrouping: true }).replaceAll(',', ' ')
}

function duration(seconds: number): string {
  if (seconds < 60) return `${seconds} s`
  const minutes = seconds / 60
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

describe('docs/networking.md', () => {
  it('leaves out no limit', () => {
    expect(Object.values(rows).flat().sort()).toEqual(Object.keys(defaultLimits).sort())
  })

  it.each(Object.entries(rows))('has the limits of "%s"', (label, limits) => {
    const row = lines.find((line) => line.startsWith(`| ${label}`))
    for (const limit of limits) expect(row, limit).toMatch(new RegExp(`(?<!\\d )\\b${written(limit)}\\b`))
  })

  it('has the addresses', () => {
    for (const address of ['gatewayIpv4', 'gatewayIpv6', 'gatewayMac', 'ipv4Subnet', 'ipv6Subnet'] as const)
      expect(text).toContain(`\`${defaultSettings[address]}\``)
  })

  it.each(alwaysClosed)('says that %s is closed', (range) => {
    expect(text).toContain(`\`${range}\``)
  })

  it.each(dropReasons)('says what the drop "%s" means', (reason) => {
    expect(lines.some((line) => line.startsWith('| `') && line.includes(`\`${reason}\``))).toBe(true)
  })
})
