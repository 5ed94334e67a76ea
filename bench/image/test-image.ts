// The image that is measured: Debian bookworm with python3, gcc, git, curl and nginx, between 400 and 500 MB, as three
// gzip layers (base, packages, a small top; in the order of names, as builders write them), and the same with another
// top. Made once, by mmdebstrap and umoci, and kept in the cache folder.
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LayerFile } from '../../core/oci/segments/testing/build-from-files.ts'
import { openCache } from '../../lab/cache.ts'
import { runTool } from './image-tools.ts'

const packages = ['python3', 'gcc', 'git', 'curl', 'nginx', 'ca-certificates']
/** Change it when the image is made differently. */
const recipe = 2
const topBytes = 1_000_000

export interface TestImage {
  /** OCI layout with the tags `image` and `changed`, which differ in the top layer. */
  readonly layout: string
  /** The root file system of `image` in one gzip tar: for peers that know no layers. */
  readonly flatTar: string
  /** The layers of `image`, bottom first. */
  readonly layers: readonly LayerFile[]
  /** The layouts as archives, one image each, as `bulkhead import` takes them. */
  readonly archives: { readonly image: string; readonly changed: string }
  /** Bytes of the uncompressed root file system's tar. */
  readonly tarBytes: number
}

/** Makes the image, or finds it. */
export async function testImage(report: (line: string) => void): Promise<TestImage> {
  const folder = join(openCache().images, `bench-image-${recipe}`)
  if (!existsSync(folder)) {
    report('Making the image with mmdebstrap: some minutes, once')
    const work = `${folder}.new`
    await rm(work, { recursive: true, force: true })
    await mkdir(work, { recursive: true })
    await make(work)
    await rename(work, folder)
  }
  const layout = join(folder, 'layout')
  return {
    layout,
    layers: await layersOf(layout),
    flatTar: join(folder, 'flat.tar.gz'),
    archives: { image: join(folder, 'image.tar'), changed: join(folder, 'changed.tar') },
    tarBytes: Number(await readFile(join(folder, 'tar-bytes'), 'utf8')),
  }
}

async function layersOf(layout: string): Promise<LayerFile[]> {
  const pathOf = (digest: string) => join(layout, 'blobs', digest.replace(':', '/'))
  const index = await readJson<{ manifests: Described[] }>(join(layout, 'index.json'))
  const entry = index.manifests.find(({ annotations }) => Object.values(annotations ?? {}).includes('image'))
  const manifest = await readJson<{ config: Described; layers: Described[] }>(pathOf(entry?.digest ?? ''))
  const config = await readJson<{ rootfs: { diff_ids: string[] } }>(pathOf(manifest.config.digest))
  return manifest.layers.map(({ digest }, position) => ({
    path: pathOf(digest),
    digest,
    diffId: config.rootfs.diff_ids[position] ?? '',
  }))
}

interface Described {
  readonly digest: string
  readonly annotations?: Readonly<Record<string, string>>
}

async function readJson<Document>(path: string): Promise<Document> {
  return JSON.parse(await readFile(path, 'utf8')) as Document
}

async function make(folder: string): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'bench-image-'))
  try {
    const layout = join(folder, 'layout')
    const base = join(scratch, 'base.tar')
    const full = join(scratch, 'full.tar')
    await debianTars(base, full)
    await runTool('umoci', 'init', '--layout', layout)
    await runTool('umoci', 'new', '--image', `${layout}:packages`)
    await runTool('umoci', 'raw', 'add-layer', '--image', `${layout}:packages`, base)
    await addDifference(`${layout}:packages`, join(scratch, 'bundle'), full)
    for (const name of ['image', 'changed']) {
      await runTool('umoci', 'tag', '--image', `${layout}:packages`, name)
      await runTool(
        'umoci',
        'raw',
        'add-layer',
        '--image',
        `${layout}:${name}`,
        await topLayer(scratch, name),
      )
      const archive = `oci-archive:${join(folder, `${name}.tar`)}:${name}`
      await runTool('skopeo', '--insecure-policy', 'copy', '--quiet', `oci:${layout}:${name}`, archive)
    }
    await flatten(`${layout}:image`, scratch, folder)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** What is there before the packages, and all. */
async function debianTars(base: string, full: string): Promise<void> {
  const excluded = ['./dev/*', './proc/*', './sys/*', './var/cache/apt/*', './var/lib/apt/lists/*']
  const options = excluded.map((pattern) => `--exclude=${pattern}`).join(' ')
  await runTool(
    'mmdebstrap',
    '--quiet',
    '--variant=minbase',
    `--include=${packages.join(',')}`,
    `--essential-hook=tar --sort=name --numeric-owner -C "$1" -cf '${base}' ${options} .`,
    'bookworm',
    full,
  )
}

/** Adds a layer with what differs between the image and the tar. */
async function addDifference(image: string, bundle: string, tar: string): Promise<void> {
  await runTool('umoci', 'unpack', '--image', image, bundle)
  const root = join(bundle, 'rootfs')
  await runTool('find', root, '-mindepth', '1', '-delete')
  await runTool('tar', '-C', root, '--numeric-owner', '--xattrs', '--xattrs-include=*', '-xf', tar)
  await runTool('umoci', 'repack', '--image', image, bundle)
}

/** A program of one megabyte and its settings. */
async function topLayer(scratch: string, name: string): Promise<string> {
  const root = join(scratch, `top-${name}`)
  await mkdir(join(root, 'srv/app'), { recursive: true })
  const lines = Array.from({ length: topBytes / 20 }, (_, index) => `${name} line ${index * 7919}\n`)
  await writeFile(join(root, 'srv/app/program'), lines.join(''), { mode: 0o755 })
  await writeFile(join(root, 'srv/app/settings'), `name=${name}\n`)
  const tar = `${root}.tar`
  await runTool('tar', '-C', root, '--numeric-owner', '-cf', tar, '.')
  return tar
}

async function flatten(image: string, scratch: string, folder: string): Promise<void> {
  const root = join(scratch, 'flat')
  const tar = join(scratch, 'flat.tar')
  await runTool('umoci', 'raw', 'unpack', '--image', image, root)
  await runTool('tar', '--sort=name', '-C', root, '--numeric-owner', '--xattrs', '-cf', tar, '.')
  await writeFile(join(folder, 'tar-bytes'), String((await stat(tar)).size))
  await runTool('sh', '-c', `gzip -6 < '${tar}' > '${join(folder, 'flat.tar.gz')}'`)
}
