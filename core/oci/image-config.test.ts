import { expect, test } from 'vitest'
import { digestOf } from './digest.ts'
import { parseImageConfig, requireMatchingLayers } from './image-config.ts'

const diffId = digestOf(Buffer.from('layer'))
const base = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [diffId] } }
const parse = (value: unknown) => parseImageConfig(Buffer.from(JSON.stringify(value)), 'config of web:1')

test('reads what a guest is started with', () => {
  const config = parse({
    ...base,
    created: '2026-01-02T03:04:05Z',
    history: [{ created_by: 'ADD rootfs', empty_layer: null }, { empty_layer: true }],
    config: {
      Entrypoint: ['/init'],
      Cmd: ['serve', ''],
      Env: ['PATH=/bin', 'X='],
      User: 'web:1000',
      WorkingDir: '/srv',
      StopSignal: 'SIGQUIT',
      ExposedPorts: { '80/tcp': {}, '53/udp': {} },
      Volumes: { '/data': {} },
      Labels: { a: 'b' },
      Healthcheck: { Test: ['CMD', 'true'], Interval: 30_000_000_000, Retries: 3 },
    },
  })
  expect(config).toMatchObject({
    created: '2026-01-02T03:04:05Z',
    diffIds: [diffId],
    platform: { os: 'linux', architecture: 'amd64' },
  })
  expect(config.history).toEqual([{ createdBy: 'ADD rootfs', emptyLayer: false }, { emptyLayer: true }])
  expect(config.run).toEqual({
    Entrypoint: ['/init'],
    Cmd: ['serve', ''],
    Env: ['PATH=/bin', 'X='],
    User: 'web:1000',
    WorkingDir: '/srv',
    StopSignal: 'SIGQUIT',
    ExposedPorts: ['80/tcp', '53/udp'],
    Volumes: ['/data'],
    Labels: { a: 'b' },
    Healthcheck: { Test: ['CMD', 'true'], Interval: 30_000_000_000, Retries: 3 },
  })
})

test('takes null and absence as Docker writes them', () => {
  const nulls = {
    Entrypoint: null,
    Cmd: null,
    Env: null,
    ExposedPorts: null,
    Volumes: null,
    Labels: null,
    User: null,
  }
  const empty = { Env: [], User: '', WorkingDir: '', ExposedPorts: [], Volumes: [], Labels: {} }
  expect(parse({ ...base, config: nulls }).run).toEqual(empty)
  expect(parse(base).run).toEqual(empty)
  expect(parse({ ...base, config: null }).run).toEqual(empty)
})

test.each([
  ['a NUL in the environment', { config: { Env: ['A=b\0c'] } }, 'NUL'],
  ['a NUL in a port', { config: { ExposedPorts: { '80\0': {} } } }, '"config.ExposedPorts.80\\u0000"'],
  ['a command that is no list', { config: { Cmd: 'sh' } }, '"config.Cmd"'],
  ['a user id that wraps to root', { config: { User: '4294967296' } }, 'outside 0 to 2147483647'],
  ['a negative group id', { config: { User: 'web:-1' } }, 'outside 0 to 2147483647'],
  ['no layers section', { rootfs: undefined }, '"rootfs"'],
  ['a diff id that is no digest', { rootfs: { type: 'layers', diff_ids: ['x'] } }, '"rootfs.diff_ids.0"'],
  ['no architecture', { architecture: undefined }, '"architecture"'],
])('refuses %s', (_, change, reason) => {
  expect(() => parse({ ...base, ...change })).toThrow(expect.objectContaining({ code: 'oci.corrupt-image' }))
  expect(() => parse({ ...base, ...change })).toThrow(reason)
})

test('requireMatchingLayers() wants as many layers in the config as in the manifest', () => {
  expect(() => requireMatchingLayers(parse(base), 1, 'web:1')).not.toThrow()
  expect(() => requireMatchingLayers(parse(base), 2, 'web:1')).toThrow(
    'its manifest has 2 layers, its config 1',
  )
})
