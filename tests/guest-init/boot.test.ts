// From the first line to the program, and power-off: what fails is named, and nothing ends in a panic.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildTools, makeTestImage, type TestImage } from './build.ts'
import { Machine, type MachineOptions } from './machine.ts'

let image: TestImage

beforeAll(() => {
  buildTools()
  image = makeTestImage()
})

afterAll(() => image[Symbol.dispose]())

function boot(options: Partial<MachineOptions>): Machine {
  return new Machine({ device: image.device, ...options })
}

const root = { device: '/dev/xvda', filesystem: 'squashfs', upper: { kind: 'tmpfs', sizeBytes: 0 } }

describe('the channel', () => {
  it('is announced with the control page filled in', async () => {
    await using machine = boot({ process: { argv: ['cat'], stdin: true } })
    const { payload } = await machine.frame('ready')
    expect(payload.readBigUInt64LE(0)).toBeGreaterThan(0n)
    expect(payload.readUInt32LE(8)).toBe(1)
    expect(machine.ring.controlPage).toEqual({
      magic: 0x31434b42,
      version: 1,
      pages: [64, 16],
      guestLive: 1,
      references: [101, 180],
    })
    expect((await machine.frame('started')).payload.readUInt32LE(0)).toBeGreaterThan(1)
    machine.signal(9)
    expect(await machine.exit()).toBe('signal 9')
  })

  it('may be missing: the console says so, and the program runs with its output there', async () => {
    const process = { argv: ['sh', '-c', 'cat; echo out; echo err >&2; exit 3'], stdin: true }
    await using machine = boot({ process, environment: { BULKHEAD_TEST_NO_CHANNEL: '1' } })
    await machine.closed()
    expect(machine.log).toContain('no control channel without /dev/xen/gntalloc: No such file')
    expect(machine.console.split('\n').sort()).toEqual(['', 'err', 'out'])
    expect(machine.reports).toBe('power-off\n')
  })

  it('without one, a terminal works too, and much output is complete', async () => {
    const process = { argv: ['seq', '20000'], terminal: true }
    await using machine = boot({ process, environment: { BULKHEAD_TEST_NO_CHANNEL: '1' } })
    await machine.closed()
    expect(machine.console).toBe(Array.from({ length: 20_000 }, (_, i) => `${i + 1}\r\n`).join(''))
  })
})

describe('a step that fails', () => {
  const failures: [string, Partial<MachineOptions>, string, number, RegExp][] = [
    ['a bundle that is no JSON', { bundle: '{"version":1,' }, 'read-bundle', 0, /at byte 13/],
    ['a bundle of another version', { bundle: { version: 2 } }, 'read-bundle', 0, /^version is not 1$/],
    [
      'a network that this version cannot make',
      { bundle: { network: { kind: 'nat' } } },
      'read-bundle',
      0,
      /network.kind/,
    ],
    [
      'a file system of another kind',
      { bundle: { root: { ...root, filesystem: 'erofs' } } },
      'mount-root',
      22,
      /\/dev\/xvda as erofs: Invalid/,
    ],
    [
      'a device that is none',
      { bundle: { root: { ...root, device: '/dev/null' } } },
      'wait-root',
      15,
      /Block device required/,
    ],
    ['a user that the image has not', { process: { user: 'nobody' } }, 'find-user', 0, /no user nobody/],
    ['a group that the image has not', { process: { user: 'web:staff' } }, 'find-user', 0, /no group staff/],
    [
      'a working directory that is a file',
      { process: { cwd: '/etc/passwd' } },
      'make-directory',
      20,
      /\/etc\/passwd: Not a directory/,
    ],
  ]

  it.each(failures)('%s', async (_, options, step, error, text) => {
    await using machine = boot({ ...options, binary: 'sanitized' })
    const { payload } = await machine.frame('failed')
    const stepBytes = payload.readUInt32LE(4)
    expect(payload.toString('utf8', 8, 8 + stepBytes)).toBe(step)
    expect(payload.toString('utf8', 8 + stepBytes)).toMatch(text)
    expect(payload.readInt32LE(0)).toBe(error)
    await machine.powerOff()
    expect(machine.log).toContain(`guest-init: ${step}: `)
    expect(machine.find('exited')).toBeUndefined()
    expect(machine.reports).toContain('power-off')
  })

  it('a module that the kernel refuses is told on the console, and the boot goes on', async () => {
    await using machine = boot({ modules: { '10-broken.ko': 'no module' } })
    expect(await machine.exit()).toBe('status 0')
    expect(machine.log).toMatch(/load-modules: cannot load 10-broken.ko: .* \(errno \d+\)/)
  })
})

describe('the block device', () => {
  it('may appear late', async () => {
    await using machine = boot({ environment: { BULKHEAD_TEST_DEVICE_DELAY_MS: '600' } })
    expect(await machine.exit()).toBe('status 0')
  })

  it('is waited for no longer than the hypervisor wants the machine', async () => {
    await using machine = boot({ bundle: { root: { ...root, device: '/dev/nosuch' } } })
    await machine.until(() => machine.reports !== '')
    machine.requestPowerOff()
    const { payload } = await machine.frame('failed')
    expect(payload.readInt32LE(0)).toBe(4)
    await machine.closed()
  })
})

describe('power-off', () => {
  it('on the wish of the hypervisor: TERM for the program, its last words, its status', async () => {
    const script = 'trap "echo bye; exit 8" TERM; echo up; while :; do sleep 0.01; done'
    await using machine = boot({ process: { argv: ['sh', '-c', script] } })
    await machine.until(() => machine.text(2) === 'up\n')
    machine.requestPowerOff()
    expect(await machine.exit()).toBe('status 8')
    expect(machine.text(2)).toBe('up\nbye\n')
  })

  it('kills a program that does not listen to TERM after ten seconds, in which it only sleeps itself', async () => {
    await using machine = boot({ process: { argv: ['sleep', '1000'] } })
    await machine.frame('started')
    const before = performance.now()
    machine.requestPowerOff()
    await machine.frame('exited')
    expect(performance.now() - before).toBeGreaterThan(9_500)
    expect(machine.processorMs).toBeLessThan(500)
    expect(await machine.exit()).toBe('signal 9')
  })

  it('comes by itself ten seconds after the end where no host ever attached', async () => {
    await using machine = boot({ attached: false })
    await machine.until(() => machine.ring.watch() >= 136)
    const before = performance.now()
    await machine.closed()
    expect(performance.now() - before).toBeGreaterThan(9_000)
    expect(machine.reports).toContain('power-off')
  })
})
