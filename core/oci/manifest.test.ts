import { describe, expect, test } from 'vitest'
import { digestOf } from './digest.ts'
import { parseDocument, parseImageManifest } from './manifest.ts'
import { MEDIA_TYPES } from './media-types.ts'

const digest = digestOf(Buffer.from('x'))
const config = { mediaType: MEDIA_TYPES.ociConfig, digest, size: 10 }
const layer = { mediaType: MEDIA_TYPES.ociLayerGzip, digest, size: 20 }
const manifest = { schemaVersion: 2, config, layers: [layer] }
const index = { schemaVersion: 2, manifests: [{ mediaType: MEDIA_TYPES.ociManifest, digest, size: 5 }] }
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value))
const read = (value: unknown, type?: string) => parseDocument(bytes(value), type, 'the image')

describe('parseDocument()', () => {
  test('reads an OCI manifest, with and without its own media type', () => {
    expect(read(manifest, MEDIA_TYPES.ociManifest)).toMatchObject({
      kind: 'manifest',
      config,
      layers: [layer],
    })
    expect(read({ ...manifest, mediaType: MEDIA_TYPES.ociManifest })).toMatchObject({ kind: 'manifest' })
    expect(read(manifest)).toMatchObject({ kind: 'manifest', mediaType: MEDIA_TYPES.ociManifest })
  })

  test('reads a Docker schema 2 manifest and list', () => {
    const type = MEDIA_TYPES.dockerManifest
    expect(read({ ...manifest, mediaType: type }, type)).toMatchObject({ kind: 'manifest', mediaType: type })
    expect(read(index, MEDIA_TYPES.dockerIndex)).toMatchObject({
      kind: 'index',
      mediaType: MEDIA_TYPES.dockerIndex,
    })
  })

  test('takes null where Go programs write it', () => {
    expect(read({ ...manifest, annotations: null })).toMatchObject({ annotations: {} })
  })

  test.each([
    ['both kinds at once', { ...manifest, ...index }, undefined, 'both as an index and as a manifest'],
    ['both kinds, empty', { ...index, layers: [] }, undefined, 'both as an index and as a manifest'],
    [
      'schema 1 fields in an index',
      { ...index, fsLayers: [] },
      undefined,
      'both as an index and as a manifest',
    ],
    [
      'a type that differs from the transport',
      { ...manifest, mediaType: MEDIA_TYPES.dockerManifest },
      MEDIA_TYPES.ociManifest,
      'calls itself',
    ],
    ['a type that differs from the content', index, MEDIA_TYPES.ociManifest, 'does not fit its content'],
    [
      'a media type that is no string',
      { ...manifest, mediaType: 7 },
      MEDIA_TYPES.ociManifest,
      'calls itself "7"',
    ],
    ['a list', [manifest], undefined, 'not an object'],
    ['another schema version', { ...manifest, schemaVersion: 3 }, undefined, '"schemaVersion"'],
    ['a negative size', { ...manifest, config: { ...config, size: -1 } }, undefined, '"config.size"'],
    ['a broken size', { ...manifest, config: { ...config, size: 1.5 } }, undefined, '"config.size"'],
    ['a size beyond 2^53', { ...manifest, config: { ...config, size: 2 ** 60 } }, undefined, '"config.size"'],
    [
      'a path as digest',
      { ...manifest, layers: [{ ...layer, digest: 'sha256:../x' }] },
      undefined,
      '"layers.0.digest"',
    ],
    ['too many layers', { ...manifest, layers: Array(600).fill(layer) }, undefined, '"layers"'],
    [
      'too many index entries',
      { ...index, manifests: Array(1001).fill(index.manifests[0]) },
      undefined,
      '"manifests"',
    ],
  ])('refuses %s', (_, value, type, reason) => {
    expect(() => read(value, type)).toThrow(expect.objectContaining({ code: 'oci.corrupt-image' }))
    expect(() => read(value, type)).toThrow(reason)
  })

  test('refuses Docker schema 1 and unknown types by name', () => {
    const unsupported = expect.objectContaining({ code: 'oci.unsupported-media' })
    expect(() => read({ schemaVersion: 1, fsLayers: [] })).toThrow(unsupported)
    expect(() => read(manifest, 'text/html')).toThrow(unsupported)
  })

  test('refuses a document beyond the limit before it parses it', () => {
    const huge = Buffer.alloc(5 * 1024 * 1024, 0x20)
    expect(() => parseDocument(huge, undefined, 'it')).toThrow(expect.objectContaining({ code: 'oci.limit' }))
  })
})

describe('parseImageManifest()', () => {
  const readImage = (value: unknown) => parseImageManifest(bytes(value), undefined, 'the image')

  test('refuses what is no runnable image, and says what it is', () => {
    expect(() =>
      readImage({
        ...manifest,
        config: { ...config, mediaType: 'application/vnd.cncf.helm.config.v1+json' },
      }),
    ).toThrow('it is not an image but "application/vnd.cncf.helm.config.v1+json"')
    expect(() => readImage({ ...manifest, layers: [] })).toThrow('nothing to run')
    const other = { ...layer, mediaType: 'application/vnd.example.disk' }
    expect(() => readImage({ ...manifest, layers: [layer, other] })).toThrow('layer 2')
    expect(() => readImage(index)).toThrow('index where a manifest belongs')
  })
})
