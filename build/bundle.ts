// Builds what plain Node runs: the core host with its workers, the command line with the lab, into `dist/`.
// Everything but koffi is bundled; a worker is an entry of its own beside the file that starts it.
import { chmodSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { rolldown } from 'rolldown'

const root = join(import.meta.dirname, '..')

const programs = [
  {
    folder: 'core',
    entries: {
      'core-host': 'core/host/core-host.ts',
      'net-engine': 'core/net/engine/net-engine.ts',
      'packet-thread': 'core/net/engine/packet-thread.ts',
      'image-worker': 'core/oci/image-worker.ts',
      'build-worker': 'core/xen/build/build-worker.ts',
      'ring-worker': 'core/xen/ring/ring-worker.ts',
    },
  },
  {
    folder: 'cli',
    entries: { bulkhead: 'app/cli/bulkhead.ts', 'lab-daemon': 'lab/daemon/lab-daemon.ts' },
  },
] as const

for (const { folder, entries } of programs) {
  const out = join(root, 'dist', folder)
  // Beside the old one: a lab that starts in this moment must find a whole core.
  const fresh = `${out}.new`
  rmSync(fresh, { recursive: true, force: true })
  const bundle = await rolldown({
    input: Object.fromEntries(Object.entries(entries).map(([name, path]) => [name, join(root, path)])),
    platform: 'node',
    external: ['koffi', 'electron'],
    resolve: { conditionNames: ['node', 'import', 'default'] },
    logLevel: 'warn',
  })
  await bundle.write({
    dir: fresh,
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
    sourcemap: true,
    minify: false,
  })
  await bundle.close()
  rmSync(out, { recursive: true, force: true })
  renameSync(fresh, out)
}
chmodSync(join(root, 'dist/cli/bulkhead.js'), 0o755)
