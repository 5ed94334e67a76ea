// Puts signatures beside images as cosign does: under its tag, or as referrers with the list that stands in for the
// referrers API (distribution-spec "Referrers Tag Schema"). For a real registry over HTTP; also as paths and bytes.

import { createHash } from 'node:crypto'
import type { SimpleSignature } from './made-signatures.ts'

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const INDEX = 'application/vnd.oci.image.index.v1+json'
const EMPTY = 'application/vnd.oci.empty.v1+json'
export const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json'
export const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json'
export const SIGNATURE_ARTIFACT = 'application/vnd.dev.cosign.artifact.sig.v1+json'

/** A blob that becomes a layer of an artifact. */
export interface ArtifactLayer {
  readonly mediaType: string
  readonly bytes: Buffer
  readonly annotations?: Readonly<Record<string, string>>
}

export interface Artifact {
  readonly manifest: Buffer
  readonly digest: string
  /** Config and layers. */
  readonly blobs: readonly Buffer[]
  /** As a list of referrers has it. */
  readonly entry: object
}

export const digestOf = (bytes: Buffer): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/** The layers of simple signatures. */
export function simpleLayers(signatures: readonly SimpleSignature[]): ArtifactLayer[] {
  return signatures.map(({ payload, annotations }) => ({
    mediaType: SIMPLE_SIGNING,
    bytes: payload,
    annotations,
  }))
}

/** An artifact of these layers; with a `subject` one that refers to it. */
export function makeArtifact(
  layers: readonly ArtifactLayer[],
  refers?: { readonly subject: string; readonly artifactType: string; readonly annotations?: object },
): Artifact {
  const config = Buffer.from('{}')
  const described = (bytes: Buffer, mediaType: string) => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  })
  const { artifactType, annotations } = refers ?? {}
  const manifest = json({
    schemaVersion: 2,
    mediaType: MANIFEST,
    artifactType,
    config: described(config, EMPTY),
    layers: layers.map(({ bytes, mediaType, annotations: own }) => ({
      ...described(bytes, mediaType),
      annotations: own,
    })),
    subject: refers === undefined ? undefined : { mediaType: MANIFEST, digest: refers.subject, size: 1 },
    annotations,
  })
  return {
    manifest,
    digest: digestOf(manifest),
    blobs: [config, ...layers.map(({ bytes }) => bytes)],
    entry: { ...described(manifest, MANIFEST), artifactType, annotations },
  }
}

/** The list of what refers to a manifest. */
export function referrersList(artifacts: readonly Artifact[]): Buffer {
  return json({ schemaVersion: 2, mediaType: INDEX, manifests: artifacts.map(({ entry }) => entry) })
}

/** Pushes artifacts to a repository (`127.0.0.1:PORT/name`), the first under a tag if one is given. */
export async function pushArtifact(
  repository: string,
  artifact: Artifact,
  tag = artifact.digest,
): Promise<void> {
  for (const blob of artifact.blobs) await pushBlob(repository, blob)
  await putManifest(repository, tag, artifact.manifest, MANIFEST)
}

/** Pushes artifacts that refer to a manifest, and their list under its tag. */
export async function pushReferrers(
  repository: string,
  subject: string,
  artifacts: readonly Artifact[],
): Promise<void> {
  for (const artifact of artifacts) await pushArtifact(repository, artifact)
  await putManifest(repository, subject.replace(':', '-'), referrersList(artifacts), INDEX)
}

/** Where cosign puts the signatures of a manifest. */
export function signatureTag(digest: string): string {
  return `${digest.replace(':', '-')}.sig`
}

/** Puts a manifest or an index under a tag or its digest. */
export async function putManifest(
  repository: string,
  key: string,
  bytes: Buffer,
  type: string,
): Promise<void> {
  const [host, ...name] = repository.split('/')
  await send(`http://${host}/v2/${name.join('/')}/manifests/${key}`, 'PUT', bytes, type)
}

async function pushBlob(repository: string, bytes: Buffer): Promise<void> {
  const [host, ...name] = repository.split('/')
  const started = await send(`http://${host}/v2/${name.join('/')}/blobs/uploads/`, 'POST')
  const place = new URL(started.headers.get('location') ?? '', `http://${host}`)
  place.searchParams.set('digest', digestOf(bytes))
  await send(place.href, 'PUT', bytes, 'application/octet-stream')
}

async function send(url: string, method: string, body?: Buffer, type?: string): Promise<Response> {
  const headers = type === undefined ? {} : { 'content-type': type }
  const answer = await fetch(url, { method, headers, body: body === undefined ? null : new Uint8Array(body) })
  if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${await answer.text()}`)
  return answer
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
