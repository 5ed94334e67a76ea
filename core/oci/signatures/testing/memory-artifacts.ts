// A repository in memory for tests: manifests and blobs by digest and tag, held to the promises of ArtifactSource.

import { type Digest, digestOf, requireSameDigest } from '../../digest.ts'
import { OciError } from '../../errors.ts'
import type { Descriptor } from '../../manifest.ts'
import type { ArtifactSource } from '../../registry/artifact-source.ts'

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'

export class MemoryArtifacts implements ArtifactSource {
  readonly name = 'registry.example/team/app'
  /** What was asked for so far: `blob sha256:…`. */
  readonly requests: string[] = []
  readonly #manifests = new Map<string, Buffer>()
  readonly #blobs = new Map<string, Buffer>()
  readonly #referrers = new Map<string, Descriptor[]>()

  addBlob(bytes: Buffer, mediaType: string, annotations?: Readonly<Record<string, string>>): Descriptor {
    const digest = digestOf(bytes)
    this.#blobs.set(digest, bytes)
    return { mediaType, digest, size: bytes.length, annotations }
  }

  /** Adds a manifest of these layers, under a tag if one is given. */
  addManifest(layers: readonly Descriptor[], tag?: string): Descriptor {
    const config = {
      mediaType: 'application/vnd.oci.empty.v1+json',
      digest: digestOf(EMPTY),
      size: EMPTY.length,
    }
    return this.addManifestBytes(
      Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, config, layers })),
      tag,
    )
  }

  addManifestBytes(bytes: Buffer, tag?: string): Descriptor {
    const digest = digestOf(bytes)
    this.#manifests.set(digest, bytes)
    if (tag !== undefined) this.#manifests.set(tag, bytes)
    return { mediaType: MANIFEST, digest, size: bytes.length }
  }

  addReferrer(subject: Digest, descriptor: Descriptor): void {
    this.#referrers.set(subject, [...(this.#referrers.get(subject) ?? []), descriptor])
  }

  async referrers(subject: Digest): Promise<readonly Descriptor[]> {
    this.requests.push(`referrers ${subject}`)
    return this.#referrers.get(subject) ?? []
  }

  async manifest(key: string) {
    this.requests.push(`manifest ${key}`)
    const bytes = this.#manifests.get(key)
    return bytes === undefined ? undefined : { bytes, digest: digestOf(bytes), mediaType: MANIFEST }
  }

  async blob(descriptor: Descriptor, limitBytes: number): Promise<Buffer> {
    this.requests.push(`blob ${descriptor.digest}`)
    if (descriptor.size > limitBytes)
      throw new OciError(
        'oci.limit',
        `Cannot read ${descriptor.digest}: it is larger than ${limitBytes} bytes`,
      )
    const bytes = this.#blobs.get(descriptor.digest)
    if (bytes === undefined) throw new OciError('oci.not-found', `There is no ${descriptor.digest}`)
    if (bytes.length !== descriptor.size)
      throw new OciError(
        'oci.size-mismatch',
        `Cannot read ${descriptor.digest}: it has ${bytes.length} bytes`,
      )
    requireSameDigest('a blob', descriptor.digest, digestOf(bytes))
    return bytes
  }
}

const EMPTY = Buffer.from('{}')
