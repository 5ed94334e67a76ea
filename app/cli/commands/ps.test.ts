import { describe, expect, it } from 'vitest'
import type { GuestSummary } from '../../../core/api/methods.ts'
import { guestTable } from './ps.ts'

const nowMs = Date.parse('2026-11-24T06:10:00.000Z')
const guest = (changes: Partial<GuestSummary>): GuestSummary => ({
  id: '3b1c5c1e0c2f4d7a'.repeat(4),
  name: 'web',
  image: 'docker.io/library/busybox:latest',
  imageDigest: `sha256:${'0'.repeat(64)}`,
  command: ['sh', '-c', 'exit 7'],
  state: 'running',
  mode: 'pv',
  memoryMiB: 512,
  vcpus: 1,
  createdAt: '2026-11-24T06:00:00.000Z',
  startedAt: '2026-11-24T06:07:00.000Z',
  terminal: false,
  autoRemove: false,
  ports: [],
  ...changes,
})
const exit = { reason: 'exited', code: 7, message: '', finishedAt: '2026-11-24T06:08:59.000Z' } as const
const rowsOf = (guests: GuestSummary[], isWhole = false) =>
  guestTable(guests, { isWhole, nowMs }).split('\n').slice(1)

describe('guestTable()', () => {
  it("has docker's seven columns", () => {
    expect(guestTable([guest({})], { isWhole: false, nowMs })).toBe(
      'GUEST ID       IMAGE            COMMAND          CREATED          STATUS         PORTS   NAMES\n' +
        '3b1c5c1e0c2f   busybox:latest   "sh -c exit 7"   10 minutes ago   Up 3 minutes           web\n',
    )
  })

  it.each<[string, Partial<GuestSummary>]>([
    ['Up 3 minutes', {}],
    ['Up 3 minutes (Paused)', { state: 'paused' }],
    ['Created', { state: 'created' }],
    ['Starting', { state: 'starting' }],
    ['Stopping', { state: 'stopping' }],
    ['Exited (7) About a minute ago', { state: 'exited', exit }],
  ])('says %s', (status, changes) => {
    expect(rowsOf([guest(changes)])[0]).toContain(` ${status} `)
  })

  it("shows ports in docker's words", () => {
    const ports = [
      { protocol: 'tcp', bind: '0.0.0.0', hostPort: 8080, guestPort: 80 },
      { protocol: 'udp', bind: '::1', hostPort: 53, guestPort: 53 },
    ] as const
    expect(rowsOf([guest({ ports: [...ports] })])[0]).toContain(
      '   [::1]:53->53/udp, 0.0.0.0:8080->80/tcp   web',
    )
  })

  it('cuts long commands short unless all is wanted', () => {
    const long = guest({ command: ['sleep', '1000000', '2000000', '3000000'] })
    expect(rowsOf([long])[0]).toContain('"sleep 1000000 20000…"')
    expect(rowsOf([long], true)[0]).toContain('"sleep 1000000 2000000 3000000"')
    expect(rowsOf([long], true)[0]).toContain(long.id)
  })

  it('lets no command steer the terminal', () => {
    expect(rowsOf([guest({ command: ['\x1b]0;title\x07'] })])[0]).toContain('"\\x1b]0;title\\x07"')
  })
})
