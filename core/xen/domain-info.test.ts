import { expect, test } from 'vitest'
import { decodeDomainInfo } from './domain-info.ts'

/** struct xen_domctl_getdomaininfo by its C offsets. */
function info(flags: number): DataView<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(112))
  view.setUint16(0, 7, true)
  view.setUint32(4, flags, true)
  view.setBigUint64(8, 32768n, true)
  view.setBigUint64(16, 33024n, true)
  view.setBigUint64(48, 0x1234n, true)
  view.setBigUint64(56, 5_000_000_000n, true)
  view.setUint32(64, 1, true)
  view.setUint32(68, 3, true)
  view.setUint8(76, 0xab)
  return view
}

test('a running domain', () => {
  expect(decodeDomainInfo(info(0xff_0020))).toEqual({
    domid: 7,
    uuid: 'ab000000-0000-0000-0000-000000000000',
    kind: 'pv',
    isDying: false,
    isPaused: false,
    isRunning: true,
    isBlocked: false,
    shutdownReason: undefined,
    totalPages: 32768,
    maxPages: 33024n,
    cpuTimeNs: 5_000_000_000n,
    onlineVcpus: 1,
    maxVcpus: 4,
    sharedInfoFrame: 0x1234n,
  })
})

test.each([
  [0x0000_0004, 'poweroff'],
  [0x0001_0004, 'reboot'],
  [0x0003_0004, 'crash'],
  [0x00fe_0004, 'unknown'],
])('flags 0x%x mean that it has stopped: %s', (flags, reason) => {
  expect(decodeDomainInfo(info(flags)).shutdownReason).toBe(reason)
})

test('a domain that has no vCPUs yet', () => {
  const view = info(0x8)
  view.setUint32(68, 0xffff_ffff, true)
  expect(decodeDomainInfo(view)).toMatchObject({ maxVcpus: 0, isPaused: true })
})
