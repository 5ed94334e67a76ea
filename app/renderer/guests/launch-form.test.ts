import { describe, expect, it } from 'vitest'
import { guestSpec } from '../../../core/api/schemas/guests.ts'
import { commandOf, emptyForm, type ImageDefaults, prefilled, problemsOf, specOf } from './launch-form.ts'

const defaults: ImageDefaults = {
  command: ['nginx', '-g', 'daemon off;'],
  env: ['PATH=/bin', 'NGINX_VERSION=1.27'],
  entrypoint: ['/docker-entrypoint.sh'],
}
const image = 'docker.io/library/nginx:1.27'
const form = prefilled(emptyForm, image, defaults)

describe('prefilled()', () => {
  it('shows what the image runs', () => {
    expect(form.command).toBe("nginx -g 'daemon off;'")
    expect(form.variables).toEqual([
      { name: 'PATH', value: '/bin' },
      { name: 'NGINX_VERSION', value: '1.27' },
    ])
  })
  it('keeps what was set about the machine', () => {
    expect(prefilled({ ...emptyForm, memoryMiB: '1024', name: 'web' }, image, defaults)).toMatchObject({
      memoryMiB: '1024',
      name: 'web',
    })
  })
})

describe('specOf()', () => {
  it('says nothing of what is the image’s own', () => {
    expect(specOf(form, defaults)).toEqual({
      image,
      memoryMiB: 512,
      vcpus: 1,
      autoRemove: false,
      process: { env: [], terminal: true, stdin: true },
    })
  })
  it('says what differs, in words', () => {
    const changed = {
      ...form,
      name: 'web',
      command: 'sh -c "echo hi"',
      variables: [...form.variables.slice(1), { name: 'MODE', value: 'a=b' }, { name: '', value: '' }],
      terminal: false,
    }
    expect(specOf(changed, defaults)).toMatchObject({
      name: 'web',
      process: { command: ['sh', '-c', 'echo hi'], env: ['MODE=a=b'], terminal: false, stdin: false },
    })
  })
  it('says what was chosen about the network', () => {
    expect(specOf({ ...form, ports: '8080:80, 53/udp' }, defaults).network).toEqual({
      ports: [
        { protocol: 'tcp', bind: '', hostPort: 8080, guestPort: 80 },
        { protocol: 'udp', bind: '', hostPort: 0, guestPort: 53 },
      ],
    })
    expect(specOf({ ...form, network: false, ports: '8080:80' }, defaults).network).toEqual({ kind: 'none' })
  })
  it('is a spec that the core host takes', () => {
    expect(guestSpec.safeParse(specOf({ ...form, name: 'web', ports: '8080:80' }, defaults)).success).toBe(
      true,
    )
  })
})

describe('problemsOf()', () => {
  it('has none to begin with but the image', () => {
    expect(Object.keys(problemsOf(emptyForm))).toEqual(['image'])
    expect(problemsOf(form)).toEqual({})
  })
  it.each([
    ['name', { name: 'Web' }],
    ['name', { name: 'a'.repeat(64) }],
    ['command', { command: 'echo "open' }],
    ['variables', { variables: [{ name: '', value: 'x' }] }],
    ['variables', { variables: [{ name: 'a=b', value: 'x' }] }],
    ['memoryMiB', { memoryMiB: '63' }],
    ['memoryMiB', { memoryMiB: 'much' }],
    ['vcpus', { vcpus: '0' }],
    ['vcpus', { vcpus: '1.5' }],
    ['ports', { ports: '8080:web' }],
    ['ports', { ports: '8080:80 8080:81' }],
  ])('finds a wrong %s in %j', (field, change) => {
    expect(Object.keys(problemsOf({ ...form, ...change }))).toEqual([field])
  })
})

describe('commandOf()', () => {
  it('is the shortest that does the same', () => {
    expect(commandOf(specOf(form, defaults))).toBe('bulkhead run -it nginx:1.27')
    expect(commandOf(specOf({ ...form, terminal: false, autoRemove: true }, defaults))).toBe(
      'bulkhead run -d --rm nginx:1.27',
    )
  })
  it('publishes ports, or leaves the network out', () => {
    expect(commandOf(specOf({ ...form, ports: '8080:80 53/udp' }, defaults))).toBe(
      'bulkhead run -it -p 8080:80 -p 53/udp nginx:1.27',
    )
    expect(commandOf(specOf({ ...form, network: false }, defaults))).toBe(
      'bulkhead run -it --network none nginx:1.27',
    )
  })
  it('quotes for the shell', () => {
    const changed = {
      ...form,
      name: 'web',
      memoryMiB: '1024',
      vcpus: '2',
      command: 'sh -c "echo it\'s"',
      variables: [{ name: 'A', value: 'b c' }],
    }
    expect(commandOf(specOf(changed, defaults))).toBe(
      "bulkhead run -it --name web -e 'A=b c' -m 1024m --cpus 2 nginx:1.27 sh -c 'echo it'\\''s'",
    )
  })
})
