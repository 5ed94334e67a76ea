// Images as people see them: the lists and details of the control API (core/api/schemas/images.ts), read from the store.

import type { RunConfig } from './image-config.ts'
import type { CatalogueDetails, CatalogueEntry, CatalogueRunConfig } from './image-worker-protocol.ts'
import { formatPlatform } from './platform.ts'
import type { ImageStore, OpenedImage } from './store/image-store.ts'
import type { StoredReference } from './store/layout-index.ts'

/** One entry for each reference, in the order they were stored. An image that cannot be read is left out. */
export async function listImages(
  store: ImageStore,
  onDamaged: (error: unknown) => void,
): Promise<CatalogueEntry[]> {
  const entries: CatalogueEntry[] = []
  for (const stored of await store.list()) {
    try {
      entries.push(toEntry(stored, await store.openReference(stored)))
    } catch (error) {
      onDamaged(error)
    }
  }
  return entries
}

/** Everything about the image that `key` names. */
export async function describeImage(store: ImageStore, key: string): Promise<CatalogueDetails> {
  const image = await store.openImage(key)
  const { manifest, config } = image
  const root = await store.rootImages.find(image.digest)
  return {
    ...toEntry(referenceFor(image, key), image),
    configDigest: manifest.config.digest,
    architecture: config.platform.architecture,
    os: config.platform.os,
    layers: await Promise.all(
      manifest.layers.map(async ({ digest, size, mediaType }, position) => {
        const diffId = config.diffIds[position]
        const content = diffId === undefined ? undefined : await store.segments.stat(diffId)
        return { digest, diffId: diffId ?? '', sizeBytes: size, mediaType, ...content }
      }),
    ),
    history: config.history.map(({ created, createdBy, comment, emptyLayer }) => ({
      createdBy: createdBy ?? '',
      ...optional('createdAt', toTimestamp(created)),
      empty: emptyLayer,
      comment: comment ?? '',
    })),
    run: toCatalogueRunConfig(config.run),
    ...optional('rootImageSizeBytes', root?.record.sizeBytes),
    ...optional('rootImageFormat', root?.record.format),
  }
}

/** The run configuration with the control API's names. */
export function toCatalogueRunConfig(run: RunConfig): CatalogueRunConfig {
  return {
    entrypoint: run.Entrypoint ?? [],
    command: run.Cmd ?? [],
    env: run.Env,
    cwd: run.WorkingDir,
    user: run.User,
    ...optional('stopSignal', run.StopSignal),
    exposedPorts: run.ExposedPorts,
    volumes: run.Volumes,
    labels: run.Labels,
  }
}

function toEntry(
  stored: StoredReference,
  { manifest, config }: Pick<OpenedImage, 'manifest' | 'config'>,
): CatalogueEntry {
  return {
    reference: stored.name,
    digest: stored.manifest.digest,
    ...optional('createdAt', toTimestamp(config.created)),
    ...optional('pulledAt', toTimestamp(stored.storedAt)),
    sizeBytes: manifest.layers.reduce((sum, { size }) => sum + size, manifest.config.size),
    platform: formatPlatform(config.platform),
  }
}

/** The reference that was asked for by name; with an id, the first one. */
function referenceFor({ references }: OpenedImage, key: string): StoredReference {
  const [first] = references
  const named = references.find(
    ({ name }) => name === key || name.endsWith(`/${key}`) || name.endsWith(`/${key}:latest`),
  )
  const stored = named ?? first
  if (stored === undefined) throw new Error('an image without a reference cannot be found')
  return stored
}

/** RFC 3339 in UTC; undefined for what is no date. */
function toTimestamp(text: string | undefined): string | undefined {
  const date = new Date(text ?? '')
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString()
}

function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  const result: { [P in K]?: V } = {}
  if (value !== undefined) result[key] = value
  return result
}
