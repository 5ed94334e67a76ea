import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { domainId } from '../domain-id.ts'
import type { XenstoreNodes } from '../xenstore/nodes.ts'
import { encodePermissions } from '../xenstore/permissions.ts'
import { hasNetback, vifName, vifPaths, writeVif } from './vif.ts'

const domid = domainId(7)

/** Keeps what is written, in order. */
class Recorder {
  readonly written: string[] = []

  async write(path: string, value: string): Promise<void> {
    this.written.push(`${path} = "${value}"`)
  }

  async makeDirectory(path: string, options: Parameters<XenstoreNodes['makeDirectory']>[1]): Promise<void> {
    this.written.push(
      `${path} ${encodePermissions(options?.permissions ?? { owner: domid, others: 'both', grants: [] })}`,
    )
  }
}

test('an interface has its two halves where the record says, and its device in dom0', () => {
  expect(vifPaths(domid, 0)).toEqual(['/local/domain/0/backend/vif/7/0', '/local/domain/7/device/vif/0'])
  expect(vifName(domid, 0)).toBe('vif7.0')
})

test('both halves of an interface are what netif.h and xen-netback want', async () => {
  const recorder = new Recorder()
  const nodes = recorder as unknown as XenstoreNodes
  await writeVif(nodes, domid, { number: 0, mac: '00:16:3e:01:02:03', mtu: 1500 })
  const frontend = '/local/domain/7/device/vif/0'
  const backend = '/local/domain/0/backend/vif/7/0'
  expect(recorder.written).toEqual([
    `${frontend} n7,r0`,
    `${backend} n0,r7`,
    `${frontend}/backend = "${backend}"`,
    `${frontend}/backend-id = "0"`,
    `${frontend}/state = "1"`,
    `${frontend}/handle = "0"`,
    `${frontend}/mac = "00:16:3e:01:02:03"`,
    `${frontend}/mtu = "1500"`,
    `${backend}/frontend = "${frontend}"`,
    `${backend}/frontend-id = "7"`,
    `${backend}/online = "1"`,
    `${backend}/script = ""`,
    `${backend}/mac = "00:16:3e:01:02:03"`,
    `${backend}/handle = "0"`,
    `${backend}/type = "vif"`,
    `${backend}/hotplug-status = "connected"`,
    `${backend}/state = "1"`,
  ])
})

test('a kernel gives interfaces once xen-netback has registered its driver', () => {
  const folder = mkdtempSync(join(tmpdir(), 'drivers-'))
  try {
    expect(hasNetback(folder)).toBe(true)
    expect(hasNetback(join(folder, 'vif'))).toBe(false)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
