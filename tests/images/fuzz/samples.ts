// Layers and archives that hold a little of everything.

import { gzipSync } from 'node:zlib'
import { digestOf } from '../../../core/oci/digest.ts'
import {
  directory,
  file,
  hardlink,
  memberBytes,
  metadataMember,
  paxRecord,
  symlink,
  type TarMember,
  tarOf,
  withChecksum,
} from '../../../core/oci/layer/testing/tar-writer.ts'

const members: readonly TarMember[] = [
  directory('./', { mtime: 5 }),
  directory('d'),
  file('d/f', 'content '.repeat(100), { uid: 3_000_000, mtime: 1.5 }),
  file('d/.wh.gone'),
  hardlink('d/link', 'd/f'),
  symlink('s', 'd/f', { xattrs: { 'trusted.x': Buffer.from([0, 255]) } }),
  { path: 'null', flag: '3', major: 1, minor: 3 },
  { path: 'pipe', flag: '6' },
  file(`long/${'name/'.repeat(30)}f`, 'x'),
  file('zeros', Buffer.alloc(70_000)),
  file('tail', Buffer.alloc(9000, 'tail')),
]

/** Gives every header of a damaged archive the checksum that it needs, so that the damage itself is looked at. */
export function withChecksums(archive: Buffer): Buffer {
  for (let offset = 0; offset + 512 <= archive.length; offset += 512) {
    const block = archive.subarray(offset, offset + 512)
    if (block.toString('latin1', 257, 262) === 'ustar') withChecksum(block)
  }
  return archive
}

/** Every kind of member, a global PAX header, and GNU long names. */
export const variedTar = Buffer.concat([
  metadataMember('g', paxRecord('comment', 'of git')),
  ...members.map(memberBytes),
  metadataMember('L', Buffer.from(`gnu/${'long/'.repeat(40)}name\0`)),
  metadataMember('K', Buffer.from('target\0')),
  memberBytes(symlink('gnu', 'target')),
  Buffer.alloc(1024),
])

const sparse = { 'GNU.sparse.size': '100000', 'GNU.sparse.name': 'sparse' }

/** Sparse files of the versions 0.1 and 1.0. */
export const sparseTars = [
  tarOf([file('x', 'dataend', { pax: { ...sparse, 'GNU.sparse.map': '4096,4,99997,3' } })]),
  tarOf([
    file(
      'x',
      Buffer.concat([Buffer.from('2\n4096\n4\n99997\n3\n'), Buffer.alloc(512 - 17), Buffer.from('dataend')]),
      {
        pax: {
          'GNU.sparse.major': '1',
          'GNU.sparse.minor': '0',
          'GNU.sparse.name': 'sparse',
          'GNU.sparse.realsize': '100000',
        },
      },
    ),
  ]),
]

const layer = gzipSync(variedTar)
const config = Buffer.from(
  JSON.stringify({
    os: 'linux',
    architecture: 'amd64',
    config: { Cmd: ['sh'] },
    rootfs: { type: 'layers', diff_ids: [digestOf(variedTar)] },
  }),
)

export const dockerArchive = tarOf([
  file('config.json', config),
  file('layer.tar', layer),
  symlink('same.tar', 'layer.tar'),
  file(
    'manifest.json',
    JSON.stringify([{ Config: 'config.json', RepoTags: ['localhost/x:1'], Layers: ['same.tar'] }]),
  ),
])

const describe = (mediaType: string, bytes: Buffer) => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length,
})
const blob = (bytes: Buffer) => file(`blobs/${digestOf(bytes).replace(':', '/')}`, bytes)

const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: describe('application/vnd.oci.image.config.v1+json', config),
    layers: [describe('application/vnd.oci.image.layer.v1.tar+gzip', layer)],
  }),
)
const index = JSON.stringify({
  schemaVersion: 2,
  manifests: [describe('application/vnd.oci.image.manifest.v1+json', manifest)],
})

export const layoutArchive = tarOf([
  file('oci-layout', JSON.stringify({ imageLayoutVersion: '1.0.0' })),
  blob(config),
  blob(layer),
  blob(manifest),
  file('index.json', index),
])
