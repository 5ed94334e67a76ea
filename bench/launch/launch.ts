// Our launch beside `xl create`, both in the same dom0, alternating, with the same kernel, initrd and disk. The
// measuring itself runs in dom0 (in-dom0.ts), so that the way into the lab is in neither figure.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compile } from '../../build/compile.ts'
import { writeDemoImage } from '../../build/demo-image.ts'
import { startLab } from '../../lab/fixture.ts'
import { installPrograms } from '../../tests/lab/support/dom0-program.ts'
import { type BenchRow, median, row } from '../rows.ts'
import type { Measured } from './in-dom0.ts'

const rounds = 5

export async function run(report: (line: string) => void): Promise<BenchRow[]> {
  await compile(report, ['guest-init', 'core'])
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-bench-'))
  const lab = await startLab({ report })
  try {
    await writeDemoImage(join(folder, 'image.tar'))
    await installPrograms(lab, '/root/bench', { 'in-dom0': 'bench/launch/in-dom0.ts' })
    await lab.putFile('/root/image.tar', readFileSync(join(folder, 'image.tar')))
    report(`Measuring ${rounds} rounds of each, alternating`)
    const { stdout, stderr, code } = await lab.exec(['node', '/root/bench/in-dom0.js', String(rounds)])
    if (code !== 0) throw new Error(`The measuring in dom0 failed: ${stderr}`)
    return rowsOf(JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Measured)
  } finally {
    await lab.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

function rowsOf({ ours, xl, xlPacked }: Measured): BenchRow[] {
  const rows = [
    row({
      what: 'build a PV domain, paused (Debian kernel, uncompressed and known)',
      unit: 'ms',
      ours: median(ours.map(({ buildMs }) => buildMs)),
      peer: median(xl.map(({ buildMs }) => buildMs)),
      peerName: 'xl create -p',
      better: 'lower',
      aim: 0.25,
    }),
    row({
      what: 'launch to the first byte that the program writes',
      unit: 'ms',
      ours: median(ours.map(({ firstByteMs }) => firstByteMs)),
      peer: median(xl.map(({ firstByteMs }) => firstByteMs)),
      peerName: 'xl create, uncompressed kernel',
      better: 'lower',
      aim: 0.7,
    }),
  ]
  if (xlPacked.length > 0)
    rows.push(
      row({
        what: 'launch to the first byte that the program writes',
        unit: 'ms',
        ours: median(ours.map(({ firstByteMs }) => firstByteMs)),
        peer: median(xlPacked.map(({ firstByteMs }) => firstByteMs)),
        peerName: "xl create, Debian's bzImage",
        better: 'lower',
        aim: 0.5,
      }),
    )
  return rows
}
