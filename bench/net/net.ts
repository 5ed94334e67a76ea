// Our network engine beside Debian's pasta (passt for a namespace) and slirp4netns on the same kind of TAP, and beside a
// bare veth as the limit of the machine. Ours always has the MTU of our guests, 1500; pasta has its best, 65520, and ours.
// Everything is in namespaces of its own; servers, clients and whoever carries the frames share the processors.

import { Iperf } from '../../tests/network/support/iperf.ts'
import { LoadGenerator } from '../../tests/network/support/load-generator.ts'
import { NetworkLab } from '../../tests/network/support/network-lab.ts'
import { installPackages } from '../install-packages.ts'
import type { BenchOptions } from '../options.ts'
import { type BenchRow, median, row } from '../rows.ts'
import { LOAD_TARGET, type Measured, measure } from './measure.ts'
import { ours } from './our-engine.ts'
import { PASTA_LARGE, PASTA_SMALL, peers, type Way } from './ways.ts'

const packageOfTool = {
  ip: 'iproute2',
  sysctl: 'procps',
  nsenter: 'util-linux',
  iperf3: 'iperf3',
  pasta: 'passt',
  slirp4netns: 'slirp4netns',
  'musl-gcc': 'musl-tools',
} as const

interface Figure {
  readonly what: string
  readonly unit: string
  readonly better: 'lower' | 'higher'
  readonly pick: (measured: Measured) => number
  /** Against pasta at either MTU, so against it at its best. Null: a figure to look at. */
  readonly aim: number | null
}

const higher = (what: string, unit: string, pick: Figure['pick']): Figure => ({
  ...{ what, unit, pick },
  ...{ better: 'higher', aim: 1 },
})
const lower = (what: string, unit: string, pick: Figure['pick'], aim: number | null): Figure => ({
  ...{ what, unit, pick, aim },
  better: 'lower',
})

const figures: readonly Figure[] = [
  higher('TCP guest to host, 1 stream', 'Gbit/s', ({ upGbits }) => upGbits),
  higher('TCP guest to host, 4 streams', 'Gbit/s', ({ up4Gbits }) => up4Gbits),
  higher('TCP host to guest, 1 stream', 'Gbit/s', ({ downGbits }) => downGbits),
  higher('TCP host to guest, 4 streams', 'Gbit/s', ({ down4Gbits }) => down4Gbits),
  higher('connections', '1/s', ({ connectionsPerSecond }) => connectionsPerSecond),
  higher('UDP echoes', '1/s', ({ echoesPerSecond }) => echoesPerSecond),
  lower('CPU, guest to host, 1 stream', 's/GB', ({ upCpuSecondsPerGB }) => upCpuSecondsPerGB, 1),
  lower('CPU, guest to host, 4 streams', 's/GB', ({ up4CpuSecondsPerGB }) => up4CpuSecondsPerGB, 1),
  lower('CPU, host to guest, 1 stream', 's/GB', ({ downCpuSecondsPerGB }) => downCpuSecondsPerGB, 1),
  lower('CPU, host to guest, 4 streams', 's/GB', ({ down4CpuSecondsPerGB }) => down4CpuSecondsPerGB, 1),
  lower('CPU of a connection', 'µs', ({ connectionCpuMicros }) => connectionCpuMicros, null),
  lower('round trip of 64 bytes', 'µs', ({ roundTripMicros }) => roundTripMicros, null),
]

export async function run(report: (line: string) => void, { isShort }: BenchOptions): Promise<BenchRow[]> {
  installPackages('network', packageOfTool, report)
  using load = await LoadGenerator.compile()
  const rounds = isShort ? 1 : 5
  const seconds = isShort ? 1 : 3
  const ways = [ours, ...peers]
  const all = new Map<string, Measured[]>(ways.map(({ name }) => [name, []]))
  for (let round = 1; round <= rounds; round++) {
    for (const way of ways) {
      const measured = await measureOnce(way, load, seconds)
      all.get(way.name)?.push(measured)
      report(`Round ${round} of ${rounds}, ${way.name}: ${describe(measured)}`)
    }
  }
  return figures.flatMap((figure) => rowsOf(figure, all))
}

/** On a network of its own, so that no way finds what another left behind. */
async function measureOnce(way: Way, load: LoadGenerator, seconds: number): Promise<Measured> {
  await using lab = await NetworkLab.create()
  const iperf = new Iperf(lab, lab.world)
  lab.use(await load.serve(lab.world, LOAD_TARGET))
  return await measure(await way.start(lab), { load, iperf }, seconds)
}

function rowsOf(
  { what, unit, better, pick, aim }: Figure,
  all: ReadonlyMap<string, readonly Measured[]>,
): BenchRow[] {
  const of = (name: string) => median((all.get(name) ?? []).map(pick))
  return peers
    .filter(({ name }) => Number.isFinite(of(name)))
    .map(({ name }) => {
      const isPasta = name === PASTA_LARGE || name === PASTA_SMALL
      return row({
        ...{ what, unit, better, ours: of(ours.name), peer: of(name), peerName: name },
        aim: isPasta ? aim : null,
      })
    })
}

function describe(measured: Measured): string {
  const one = (value: number) => value.toFixed(1)
  const { upGbits, up4Gbits, downGbits, down4Gbits, failedConnections, lostDatagrams } = measured
  return (
    `up ${one(upGbits)} / ${one(up4Gbits)}, down ${one(downGbits)} / ${one(down4Gbits)} Gbit/s (1 / 4 streams), ` +
    `${measured.connectionsPerSecond.toFixed(0)} connections/s (${failedConnections} failed), ` +
    `${measured.echoesPerSecond.toFixed(0)} echoes/s (${lostDatagrams} lost), ${one(measured.roundTripMicros)} µs`
  )
}
