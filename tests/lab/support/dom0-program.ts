// Puts programs of the tests into a lab's dom0: bundled from TypeScript as the core is, with the core's own
// koffi.

import { join } from 'node:path'
import { rolldown } from 'rolldown'
import type { Lab } from '../../../lab/fixture.ts'

const root = join(import.meta.dirname, '../../..')

/** Bundles each entry (name → path from the root of the project) into `folder` of dom0, as `NAME.js`. */
export async function installPrograms(
  lab: Lab,
  folder: string,
  entries: Readonly<Record<string, string>>,
): Promise<void> {
  const bundle = await rolldown({
    input: Object.fromEntries(Object.entries(entries).map(([name, path]) => [name, join(root, path)])),
    platform: 'node',
    external: ['koffi'],
    transform: { target: 'es2024' },
    logLevel: 'warn',
  })
  const { output } = await bundle.generate({
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
  })
  await bundle.close()
  await lab.exec(`mkdir -p ${folder} && ln -sfn /core/node_modules ${folder}/node_modules`)
  await lab.putFile(`${folder}/package.json`, '{"type":"module"}')
  for (const file of output) {
    if (file.type === 'chunk') await lab.putFile(`${folder}/${file.fileName}`, file.code)
  }
}
