// `npm run bench -- NAME [--json]`: runs one bench and prints its rows; with `--json` they are the last line.
import { parseArgs } from 'node:util'
import { type BenchRow, formatRows } from './rows.ts'

interface Bench {
  readonly about: string
  readonly load: () => Promise<{ run(report: (line: string) => void): Promise<BenchRow[]> }>
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
}

const { values, positionals } = parseArgs({
  options: { json: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const [name] = positionals
const bench = name === undefined ? undefined : benches[name]
if (bench === undefined) {
  const list = Object.entries(benches).map(([key, { about }]) => `  ${key.padEnd(10)} ${about}`)
  process.stderr.write(`Usage: npm run bench -- NAME [--json]\n${list.join('\n')}\n`)
  process.exit(2)
}
const rows = await (await bench.load()).run((line) => process.stderr.write(`${line}\n`))
process.stdout.write(`${formatRows(rows)}\n`)
if (values.json) process.stdout.write(`${JSON.stringify(rows)}\n`)
