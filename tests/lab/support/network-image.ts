// An image for tests of the network: the demo image, and over it the network programs of Debian's packages that the
// lab is made of, with the libraries that they need.

import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { writeDemoImage } from '../../../build/demo-image.ts'
import { openCache } from '../../../lab/cache.ts'
import { selectPackages } from '../../../lab/image/select-packages.ts'
import { runTool } from '../../../lab/run-tool.ts'

export const networkImage = 'localhost/network-tools:latest'

const packages = ['libc6', 'iperf3', 'libiperf0', 'libsctp1', 'libssl3', 'ethtool', 'libmnl0']
const libraries = 'lib/x86_64-linux-gnu'
const programs = ['usr/bin/iperf3', 'sbin/ethtool']
const loader = 'lib64/ld-linux-x86-64.so.2'
const libraryFiles = [
  'libc.so.6',
  'libm.so.6',
  'libiperf.so.0',
  'libsctp.so.1',
  'libssl.so.3',
  'libcrypto.so.3',
  'libmnl.so.0',
]
/** Careful: where a loader looks by itself, the static busybox would find another C library, and crash in it. */
const place = 'opt/network'

/** Writes the image as a docker-archive to `target`. */
export async function writeNetworkImage(target: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'network-image-'))
  try {
    const unpacked = join(folder, 'unpacked')
    const selected = await selectPackages({ cache: openCache(), report: () => {} })
    for (const { name, path } of selected.dom0)
      if (packages.includes(name)) await runTool(['dpkg-deb', '-x', path, unpacked])
    const archive = join(folder, 'archive')
    mkdirSync(archive)
    await writeDemoImage(join(folder, 'demo.tar'))
    await runTool(['tar', '-C', archive, '-xf', join(folder, 'demo.tar')])
    await packTools(unpacked, join(folder, 'tools'), join(archive, 'tools.tar'))
    addLayer(archive, 'tools.tar')
    await runTool(['tar', '-C', archive, '-cf', target, '.'])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function packTools(unpacked: string, root: string, layer: string): Promise<void> {
  const copy = (path: string, target: string) =>
    copyFileSync(realpathSync(join(unpacked, path)), join(root, place, target))
  for (const folder of [join(place, 'lib'), join(place, 'bin'), 'usr/bin'])
    mkdirSync(join(root, folder), { recursive: true })
  copy(loader, 'loader')
  for (const name of libraryFiles) {
    const path = [libraries, `usr/${libraries}`].map((folder) => join(folder, name))
    copy(path.find((one) => existsSync(join(unpacked, one))) ?? name, join('lib', name))
  }
  for (const path of programs) {
    const name = basename(path)
    copy(path, join('bin', name))
    const start = `exec /${place}/loader --library-path /${place}/lib /${place}/bin/${name} "$@"`
    writeFileSync(join(root, 'usr/bin', name), `#!/bin/sh\n${start}\n`, { mode: 0o755 })
  }
  await runTool(['tar', '-C', root, '--sort=name', '--owner=0', '--group=0', '--mtime=@0', '-cf', layer, '.'])
}

interface Manifest {
  Config: string
  RepoTags: string[]
  Layers: string[]
}

/** Puts a layer over the others and gives the image its own name. */
function addLayer(archive: string, layer: string): void {
  const [manifest] = JSON.parse(readFileSync(join(archive, 'manifest.json'), 'utf8')) as Manifest[]
  if (manifest === undefined) throw new Error('The demo image has no manifest')
  const config = JSON.parse(readFileSync(join(archive, manifest.Config), 'utf8')) as {
    rootfs: { diff_ids: string[] }
    history: object[]
  }
  config.rootfs.diff_ids.push(`sha256:${sha256(readFileSync(join(archive, layer)))}`)
  config.history.push({ created: '2024-01-01T00:00:00Z', created_by: 'network programs of Debian' })
  const text = JSON.stringify(config)
  rmSync(join(archive, manifest.Config))
  writeFileSync(join(archive, `${sha256(text)}.json`), text)
  const own = {
    Config: `${sha256(text)}.json`,
    RepoTags: [networkImage],
    Layers: [...manifest.Layers, layer],
  }
  writeFileSync(join(archive, 'manifest.json'), JSON.stringify([own]))
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
