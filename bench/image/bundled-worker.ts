// The image worker as it is installed: bundled, so that what is measured does not carry a TypeScript compiler along.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { rolldown } from 'rolldown'
import type { startImageWorker } from '../../core/oci/image-worker-client.ts'

const root = join(import.meta.dirname, '../..')

/** Bundles the worker, and beside it the client that starts it, into `folder`. */
export async function bundledWorker(folder: string): Promise<typeof startImageWorker> {
  const bundle = await rolldown({
    input: {
      client: join(root, 'core/oci/image-worker-client.ts'),
      'image-worker': join(root, 'core/oci/image-worker.ts'),
    },
    platform: 'node',
    resolve: { conditionNames: ['node', 'import', 'default'] },
    logLevel: 'warn',
  })
  await bundle.write({ dir: folder, format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name].js' })
  await bundle.close()
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  const client: { startImageWorker: typeof startImageWorker } = await import(
    pathToFileURL(join(folder, 'client.js')).href
  )
  return client.startImageWorker
}
