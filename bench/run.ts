// `npm run bench -- NAME [--short] [--json]`: runs one bench and prints its rows; with `--json` they are the last line.
import { parseArgs } from 'node:util'
import type { BenchOptions } from './options.ts'
import { type BenchRow, formatRows } from './rows.ts'

interface Bench {
  readonly about: string
  readonly load: () => Promise<{
    run(report: (line: string) => void, options: BenchOptions): Promise<BenchRow[]>
  }>
}

const benches: Readonly<Record<string, Bench>> = {
  launch: {
    about: 'building a PV domain, and launch to first byte, beside xl create',
    load: () => import('./launch/launch.ts'),
  },
  image: {
    about: 'gzip layers to a root image, beside skopeo, umoci, mksquashfs and tar2sqfs',
    load: () => import('./image/image.ts'),
  },
  net: {
    about: 'the network engine, beside pasta, slirp4netns and a bare veth (--short: one round)',
    load: () => import('./net/net.ts'),
  },
}

const { values, positionals } = parseArgs({
  options: { json: { type: 'boolean', default: false }, short: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const [name] = positionals
const bench = name === undefined ? undefined : benches[name]
if (bench === undefined) {
  const list = Object.entries(benches).map(([key, { about }]) => `  ${key.padEnd(10)} ${about}`)
  process.stderr.write(`Usage: npm run bench -- NAME [--short] [--json]\n${list.join('\n')}\n`)
  process.exit(2)
}
const { run } = await bench.load()
const rows = await run((line) => process.stderr.write(`${line}\n`), { isShort: values.short })
process.stdout.write(`${formatRows(rows)}\n`)
if (values.json) process.stdout.write(`${JSON.stringify(rows)}\n`)
