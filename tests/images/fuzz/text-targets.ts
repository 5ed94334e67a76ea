// Parsers of what a registry, an archive or a person writes as text.

import { generateKeyPairSync } from 'node:crypto'
import { parseDigest } from '../../../core/oci/digest.ts'
import { parseImageConfig } from '../../../core/oci/image-config.ts'
import { parseDocument, parseImageManifest } from '../../../core/oci/manifest.ts'
import { parsePlatform } from '../../../core/oci/platform.ts'
import { formatReference, parseReference } from '../../../core/oci/reference.ts'
import { parseRetryAfter } from '../../../core/oci/registry/backoff.ts'
import { parseChallenges } from '../../../core/oci/registry/challenge.ts'
import { findLink } from '../../../core/oci/registry/link-header.ts'
import { parseRateLimit } from '../../../core/oci/registry/rate-limit.ts'
import { parseRealm } from '../../../core/oci/registry/realm-policy.ts'
import { parseBundle } from '../../../core/oci/signatures/bundle.ts'
import { parsePublicKey } from '../../../core/oci/signatures/public-key.ts'
import { parseStrictJson } from '../../../core/oci/strict-json.ts'
import type { FuzzTarget } from './fuzz.ts'

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`
const manifestType = 'application/vnd.oci.image.manifest.v1+json'
const descriptor = { mediaType: manifestType, digest: DIGEST, size: 1234 }

const manifest = json({
  schemaVersion: 2,
  mediaType: manifestType,
  config: { ...descriptor, mediaType: 'application/vnd.oci.image.config.v1+json' },
  layers: [
    { ...descriptor, mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', data: 'aGVsbG8=' },
    { ...descriptor, mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd', urls: ['https://h/x'] },
  ],
  annotations: { 'org.opencontainers.image.ref.name': 'latest' },
})
const index = json({
  schemaVersion: 2,
  manifests: [
    { ...descriptor, platform: { os: 'linux', architecture: 'arm', variant: 'v7', 'os.features': ['x'] } },
    { ...descriptor, artifactType: 'text/plain', annotations: { a: 'b' } },
  ],
  annotations: {},
})
const config = json({
  os: 'linux',
  architecture: 'amd64',
  created: '2024-01-01T00:00:00Z',
  config: {
    Env: ['A=b'],
    Cmd: ['sh'],
    Entrypoint: null,
    User: '1000:1000',
    ExposedPorts: { '80/tcp': {} },
    Volumes: { '/data': {} },
    WorkingDir: '/',
    Labels: { a: 'b' },
    StopSignal: 'SIGTERM',
    Healthcheck: { Test: ['NONE'], Interval: 1_000_000_000 },
  },
  rootfs: { type: 'layers', diff_ids: [DIGEST] },
  history: [{ created: '2024-01-01T00:00:00Z', created_by: 'x', empty_layer: true }],
})
const bundle = json({
  mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
  verificationMaterial: { publicKey: { hint: 'key' }, tlogEntries: [] },
  dsseEnvelope: {
    payload: 'e30=',
    payloadType: 'application/vnd.in-toto+json',
    signatures: [{ sig: 'AAAA' }],
  },
})

const publicKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
  type: 'spki',
  format: 'pem',
}) as string

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

/** Parses text in all its bytes, as Node hands over headers: one character each. */
const text = (name: string, samples: readonly string[], run: (input: string) => unknown): FuzzTarget => ({
  name,
  corpus: samples.map((sample) => Buffer.from(sample, 'latin1')),
  run: (input) => run(input.toString('latin1')),
})

export const textTargets: readonly FuzzTarget[] = [
  { name: 'strict JSON', corpus: [manifest, index, config], run: (input) => parseStrictJson(input, 'it') },
  {
    name: 'index or manifest',
    corpus: [manifest, index],
    run: (input) => parseDocument(input, undefined, 'the manifest'),
  },
  {
    name: 'image manifest',
    corpus: [manifest],
    run: (input) => parseImageManifest(input, manifestType, 'the manifest'),
  },
  { name: 'image config', corpus: [config], run: (input) => parseImageConfig(input, 'the config') },
  { name: 'signature bundle', corpus: [bundle], run: (input) => parseBundle(input) },
  text('public key', [publicKey], (input) => parsePublicKey(input)),
  text(
    'challenge',
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
      'Basic realm="x\\"y", Negotiate abc==, Digest qop=auth , Bearer realm=plain',
    ],
    (input) => parseChallenges(input),
  ),
  text('realm', ['https://auth.example.com:8443/token?x=y', 'http://[::1]/t'], (input) =>
    parseRealm(input, new URL('http://registry.example.com')),
  ),
  text(
    'reference',
    ['docker.io/library/alpine:3.20', `localhost:5000/a/b-c__d:tag@${DIGEST}`, '[::1]:5000/x', 'a.b'],
    (input) => {
      const reference = parseReference(input)
      const again = formatReference(parseReference(formatReference(reference)))
      if (again !== formatReference(reference)) throw new Error(`${again} is not what was parsed`)
    },
  ),
  text('digest', [DIGEST, `sha512:${'ab'.repeat(64)}`], (input) => parseDigest(input)),
  text('platform', ['linux/arm/v7', 'linux/amd64'], (input) => parsePlatform(input)),
  text(
    'Link',
    ['<https://h/v2/a/tags/list?last=b&n=5>; rel="next"; title="a\\"b", </x>; rel=first'],
    (input) => findLink([input], 'next'),
  ),
  text('RateLimit', ['100;w=21600', '76;w=21600,10;w=1'], (input) => parseRateLimit({ header: () => input })),
  text('Retry-After', ['120', 'Wed, 21 Oct 2015 07:28:00 GMT'], (input) => parseRetryAfter(input, 0)),
]
