// Makes layers and an OCI image layout of them on disk, as input for our build and for its oracles.

import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { LayerFile } from '../../../core/oci/segments/testing/build-from-files.ts'

export interface LayoutLayer extends LayerFile {
  readonly sizeBytes: number
}

/** Writes an OCI image layout with one image, `latest`, of gzip layers (bottom first). Returns its layers. */
export async function writeLayout(path: string, tars: readonly Buffer[]): Promise<LayoutLayer[]> {
  const blobs = join(path, 'blobs/sha256')
  await mkdir(blobs, { recursive: true })
  const put = async (content: Buffer) => {
    const digest = sha256(content)
    const file = join(blobs, digest.slice('sha256:'.length))
    await writeFile(file, content)
    return { path: file, digest, sizeBytes: content.length }
  }
  const layers: LayoutLayer[] = []
  for (const tar of tars) layers.push({ ...(await put(gzipSync(tar, { level: 1 }))), diffId: sha256(tar) })
  const config = await put(
    json({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    }),
  )
  const manifest = await put(
    json({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: descriptor('application/vnd.oci.image.config.v1+json', config),
      layers: layers.map((layer) => descriptor('application/vnd.oci.image.layer.v1.tar+gzip', layer)),
    }),
  )
  const entry = {
    ...descriptor('application/vnd.oci.image.manifest.v1+json', manifest),
    annotations: { 'org.opencontainers.image.ref.name': 'latest' },
  }
  await writeFile(join(path, 'index.json'), json({ schemaVersion: 2, manifests: [entry] }))
  await writeFile(join(path, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }))
  return layers
}

export function sha256(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}

function descriptor(mediaType: string, blob: { digest: string; sizeBytes: number }) {
  return { mediaType, digest: blob.digest, size: blob.sizeBytes }
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
