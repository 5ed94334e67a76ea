// Gzip layers on disk → finished root image: ours beside what people do with skopeo, umoci and mksquashfs, and beside a
// bare gzip | tar2sqfs; again when only the top layer is another one; and how fast the results are read.
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { buildFromFiles } from '../../core/oci/segments/testing/build-from-files.ts'
import { EROFS } from '../../core/oci/writers/erofs/erofs-format.ts'
import { type BenchRow, median, row } from '../rows.ts'
import { type ColdRead, readCold } from './cold-reads.ts'
import { type Cost, installTools, machine, runTool } from './image-tools.ts'
import { type OurBuild, OurBuilds } from './our-builds.ts'
import { PeerBuilds } from './peer-builds.ts'
import { type TestImage, testImage } from './test-image.ts'

const rounds = 5
/** What the worker may take, whatever the image. */
const memoryLimitMiB = 256
const fullPipeline = 'skopeo + umoci + mksquashfs zstd 1'
const tarPipeline = 'gzip -dc | tar2sqfs zstd 1'

export async function run(report: (line: string) => void): Promise<BenchRow[]> {
  installTools(report)
  const image = await testImage(report)
  report(`An image of ${Math.round(image.tarBytes / 1e6)} MB in 3 layers; ${machine()}`)
  const folder = await mkdtemp(join(tmpdir(), 'bench-image-'))
  try {
    const builds = await measureBuilds(image, folder, report)
    return [...builds.rows, ...(await measureReads(image, folder, builds, report))]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** One run of each, in turn. */
interface Round {
  readonly ours: OurBuild
  readonly changed: OurBuild
  readonly tar: Cost
  readonly full: Cost
  readonly idleDelayMs: number
}

interface MeasuredBuilds {
  readonly rows: BenchRow[]
  readonly ours: string
  readonly peers: PeerBuilds
}

async function measureBuilds(
  image: TestImage,
  folder: string,
  report: (line: string) => void,
): Promise<MeasuredBuilds> {
  const builds = await OurBuilds.open(join(folder, 'ours'), image)
  const peers = new PeerBuilds(join(folder, 'peers'), image)
  const all: Round[] = []
  for (let round = 1; round <= rounds; round++) {
    const ours = await builds.buildAll()
    const tar = await peers.tarPipeline()
    const changed = await builds.buildChanged()
    const full = await peers.fullPipeline('changed')
    const idleDelayMs = await idleDelay(ours.wallSeconds)
    all.push({ ours, changed, tar, full, idleDelayMs })
    report(
      `Round ${round}: ours ${describe(ours)}; top changed ${describe(changed)}; ` +
        `${tarPipeline} ${describe(tar)}; ${fullPipeline} ${describe(full)}`,
    )
  }
  // What is read cold afterwards is the same tree on both sides.
  const { path, sizeBytes } = await builds.buildAll()
  await peers.fullPipeline('image')
  const of = (pick: (round: (typeof all)[number]) => number) => median(all.map(pick))
  const against = (
    what: string,
    unit: string,
    ours: number,
    peers: readonly [string, number, number | null][],
  ) => peers.map(([peerName, peer, aim]) => row({ what, unit, ours, peer, peerName, better: 'lower', aim }))
  const rows = [
    ...against(
      'gzip layers to finished root image, time',
      's',
      of(({ ours }) => ours.wallSeconds),
      [
        [fullPipeline, of(({ full }) => full.wallSeconds), 0.4],
        [tarPipeline, of(({ tar }) => tar.wallSeconds), 0.75],
      ],
    ),
    ...against(
      'gzip layers to finished root image, processor time',
      's',
      of(({ ours }) => ours.cpuSeconds),
      [
        [fullPipeline, of(({ full }) => full.cpuSeconds), null],
        [tarPipeline, of(({ tar }) => tar.cpuSeconds), null],
      ],
    ),
    ...against(
      'gzip layers to finished root image, peak memory',
      'MiB',
      of(({ ours }) => ours.peakMiB),
      [
        ['our limit', memoryLimitMiB, 1],
        [fullPipeline, of(({ full }) => full.peakMiB), null],
        [tarPipeline, of(({ tar }) => tar.peakMiB), null],
      ],
    ),
    ...against(
      'only the top layer changed, time',
      's',
      of(({ changed }) => changed.wallSeconds),
      [[fullPipeline, of(({ full }) => full.wallSeconds), 0.1]],
    ),
    ...against('size of the image', 'MB', sizeBytes / 1e6, [
      ['mksquashfs zstd 1', (await stat(peers.squashfs)).size / 1e6, null],
    ]),
    ...against(
      'longest pause of the core host during a build',
      'ms',
      of(({ ours }) => ours.longestDelayMs),
      [['the same process with nothing to do', of(({ idleDelayMs }) => idleDelayMs), null]],
    ),
  ]
  return { rows, ours: path, peers }
}

async function measureReads(
  image: TestImage,
  folder: string,
  { ours, peers }: MeasuredBuilds,
  report: (line: string) => void,
): Promise<BenchRow[]> {
  const ourErofs = join(folder, 'ours.erofs')
  const theirErofs = join(folder, 'theirs.erofs')
  await buildFromFiles({ layers: image.layers, output: ourErofs, format: EROFS })
  await runTool('mkfs.erofs', theirErofs, peers.rootFolder)
  const rows: BenchRow[] = []
  for (const { type, peer, peerName, mine } of [
    { type: 'squashfs', mine: ours, peer: peers.squashfs, peerName: 'mksquashfs zstd 1' },
    { type: 'erofs', mine: ourErofs, peer: theirErofs, peerName: 'mkfs.erofs' },
  ] as const) {
    const reads: { mine: ColdRead; theirs: ColdRead }[] = []
    for (let round = 1; round <= rounds; round++)
      reads.push({ mine: await readCold(mine, type), theirs: await readCold(peer, type) })
    report(
      `Reading ${type} cold: ${reads.map(({ mine: read }) => read.sequentialSeconds.toFixed(2)).join(' ')}`,
    )
    for (const [what, pick] of [
      ['all of it in order', (read: ColdRead) => read.sequentialSeconds],
      ['3000 random pieces of 4 KiB', (read: ColdRead) => read.randomSeconds],
    ] as const)
      rows.push(
        row({
          what: `${type} read cold by the kernel, ${what}`,
          unit: 's',
          ours: median(reads.map((read) => pick(read.mine))),
          peer: median(reads.map((read) => pick(read.theirs))),
          peerName,
          better: 'lower',
          aim: null,
        }),
      )
  }
  return rows
}

/** The longest pause of this process while it only waits. */
async function idleDelay(seconds: number): Promise<number> {
  const delays = monitorEventLoopDelay({ resolution: 1 })
  delays.enable()
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  delays.disable()
  return delays.max / 1e6
}

function describe({ wallSeconds, cpuSeconds, peakMiB }: Cost): string {
  return `${wallSeconds.toFixed(2)} s (${cpuSeconds.toFixed(2)} s CPU, ${Math.round(peakMiB)} MiB)`
}
