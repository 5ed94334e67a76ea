// One round of all measurements through one way: streams by iperf3, the rest by our load generator.
import type { Iperf } from '../../tests/network/support/iperf.ts'
import type { LoadGenerator, LoadTarget } from '../../tests/network/support/load-generator.ts'
import type { Namespace } from '../../tests/network/support/namespace.ts'
import { WORLD } from '../../tests/network/support/network-lab.ts'
import { cpuSeconds } from '../../tests/network/support/process-cost.ts'
import type { RunningWay } from './ways.ts'

export const LOAD_TARGET: LoadTarget = { address: WORLD.ipv4, port: 7001 }
const DATAGRAM_BYTES = 64
const CLIENTS = 4
const WARM_UP_SECONDS = 1

/** `cpu` figures are the carrying program's alone; NaN where the kernel carries. */
export interface Measured {
  readonly upGbits: number
  readonly up4Gbits: number
  readonly downGbits: number
  readonly down4Gbits: number
  readonly upCpuSecondsPerGB: number
  readonly up4CpuSecondsPerGB: number
  readonly downCpuSecondsPerGB: number
  readonly down4CpuSecondsPerGB: number
  readonly connectionsPerSecond: number
  readonly connectionCpuMicros: number
  readonly failedConnections: number
  readonly roundTripMicros: number
  readonly echoesPerSecond: number
  readonly lostDatagrams: number
}

export async function measure(
  { guest, pid }: RunningWay,
  { load, iperf }: { load: LoadGenerator; iperf: Iperf },
  seconds: number,
): Promise<Measured> {
  const streams = (...options: readonly string[]) =>
    withCpu(pid, () => throughput(iperf, guest, seconds, options))
  // An engine runs for weeks: every way, ours and the peers', is measured warm.
  for (const options of [[], ['-R']]) await throughput(iperf, guest, WARM_UP_SECONDS, options)
  await load.datagrams(guest, LOAD_TARGET, { seconds: WARM_UP_SECONDS, sizeBytes: DATAGRAM_BYTES })
  const up = await streams()
  const up4 = await streams('-P', '4')
  const down = await streams('-R')
  const down4 = await streams('-R', '-P', '4')
  const connections = await withCpu(pid, () =>
    load.connections(guest, LOAD_TARGET, { seconds, processes: CLIENTS }),
  )
  const roundTrips = await load.roundTrips(guest, LOAD_TARGET, seconds / 2)
  const datagrams = await load.datagrams(guest, LOAD_TARGET, {
    seconds: seconds / 2,
    sizeBytes: DATAGRAM_BYTES,
  })
  return {
    upGbits: up.result.gbits,
    up4Gbits: up4.result.gbits,
    downGbits: down.result.gbits,
    down4Gbits: down4.result.gbits,
    upCpuSecondsPerGB: perGB(up),
    up4CpuSecondsPerGB: perGB(up4),
    downCpuSecondsPerGB: perGB(down),
    down4CpuSecondsPerGB: perGB(down4),
    connectionsPerSecond: connections.result.perSecond,
    connectionCpuMicros: (connections.cpu * 1e6) / connections.result.done,
    failedConnections: connections.result.failed,
    roundTripMicros: roundTrips.medianMicros,
    echoesPerSecond: datagrams.perSecond,
    lostDatagrams: datagrams.lost,
  }
}

interface Throughput {
  readonly gbits: number
  readonly bytes: number
}

interface WithCpu<Result> {
  readonly result: Result
  readonly cpu: number
}

async function withCpu<Result>(
  pid: number | undefined,
  action: () => Promise<Result>,
): Promise<WithCpu<Result>> {
  const used = () => (pid === undefined ? Number.NaN : cpuSeconds(pid))
  const before = used()
  const result = await action()
  return { result, cpu: used() - before }
}

function perGB({ result, cpu }: WithCpu<Throughput>): number {
  return cpu / (result.bytes / 1e9)
}

async function throughput(
  iperf: Iperf,
  guest: Namespace,
  seconds: number,
  options: readonly string[],
): Promise<Throughput> {
  const { bitsPerSecond, bytes } = await iperf.run(guest, WORLD.ipv4, '-t', String(seconds), ...options)
  return { gbits: bitsPerSecond / 1e9, bytes }
}
