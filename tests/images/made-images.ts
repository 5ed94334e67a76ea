// Images for the tests, made by umoci and skopeo from a few files: nothing is downloaded, and nothing of ours takes part
// in making them.

import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { run } from './commands.ts'

/** An OCI layout with one image of two layers, tagged `made`. */
export interface MadeImage {
  readonly layout: string
  /** What the config says, to compare with. */
  readonly command: readonly string[]
}

/** Makes the image in `folder`. `seed` makes its content differ from that of another. */
export async function makeImage(folder: string, seed = 'one'): Promise<MadeImage> {
  const layout = path.join(folder, 'layout')
  const image = `${layout}:made`
  await mkdir(folder, { recursive: true })
  await run('umoci', 'init', '--layout', layout)
  await run('umoci', 'new', '--image', image)
  for (const layer of ['base', 'top']) {
    const root = path.join(folder, layer)
    await mkdir(path.join(root, 'etc'), { recursive: true })
    await writeFile(path.join(root, 'etc', `${layer}.conf`), `${seed} ${layer}\n`)
    await writeFile(path.join(root, 'data'), Buffer.alloc(300_000, `${seed} ${layer} `))
    await symlink('etc', path.join(root, `${layer}-link`))
    await run('tar', '-C', root, '-cf', `${root}.tar`, '--numeric-owner', '.')
    await run('umoci', 'raw', 'add-layer', '--image', image, `${root}.tar`)
  }
  const command = ['/bin/serve', '--port', '80']
  const settings = command.flatMap((word) => ['--config.cmd', word])
  await run(
    'umoci',
    'config',
    '--image',
    image,
    ...settings,
    '--config.env',
    `SEED=${seed}`,
    '--config.workingdir',
    '/srv',
  )
  await run(
    'umoci',
    'config',
    '--image',
    image,
    '--config.user',
    'web:1000',
    '--config.exposedports',
    '80/tcp',
  )
  return { layout, command }
}

/** Copies with skopeo, without a policy file. */
export async function skopeoCopy(from: string, to: string, ...options: readonly string[]): Promise<void> {
  await run('skopeo', '--insecure-policy', 'copy', '--quiet', ...options, from, to)
}

/** Packs a folder as `tar -C FOLDER .` does. */
export async function packFolder(folder: string, archive: string): Promise<string> {
  await run('tar', '-C', folder, '-cf', archive, '.')
  return archive
}

interface Descriptor {
  readonly digest: string
  readonly size: number
}

interface ManifestDocument {
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

/** The manifest of the image in a layout, and its descriptor in index.json. */
export async function readLayout(
  layout: string,
): Promise<{ entry: Descriptor; manifest: ManifestDocument; blobs: string }> {
  const index: { manifests: Descriptor[] } = JSON.parse(
    await readFile(path.join(layout, 'index.json'), 'utf8'),
  )
  const entry = index.manifests.at(-1)
  if (entry === undefined) throw new Error(`${layout} has no image`)
  const blobs = path.join(layout, 'blobs/sha256')
  const manifest: ManifestDocument = JSON.parse(await readFile(path.join(blobs, hexOf(entry)), 'utf8'))
  return { entry, manifest, blobs }
}

export function hexOf({ digest }: Descriptor): string {
  return digest.replace('sha256:', '')
}
