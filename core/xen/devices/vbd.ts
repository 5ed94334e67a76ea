// Virtual block devices: a block device of dom0 as a guest's disk, through the kernel's xen-blkback. We write
// what the hotplug scripts would write (physical-device, hotplug-status), so none is needed.
// Source: xen/include/public/io/blkif.h; Linux, drivers/block/xen-blkback/xenbus.c.
import { DOM0, type DomainId } from '../domain-id.ts'
import type { Xenstore } from '../xenstore/client.ts'
import type { CallOptions, XenstoreNodes } from '../xenstore/nodes.ts'
import { frontendOf, readableBy } from '../xenstore/permissions.ts'
import { backendPath, detachBackend, frontendPath, waitForBackend } from './backend.ts'

export interface VirtualDisk {
  /** Xen's number for it: 51712 is xvda; see `diskNumber()`. */
  readonly number: number
  /** `xvda` */
  readonly name: string
  /** The block device behind it. */
  readonly loop: { readonly path: string; readonly major: number; readonly minor: number }
  readonly readOnly: boolean
}

/** The number of the n-th disk: `diskNumber(0)` is xvda (blkif.h, "Device identification"). */
export function diskNumber(index: number): number {
  return index < 16 ? (202 << 8) | (index << 4) : (1 << 28) | (index << 8)
}

export function vbdFrontendPath(domid: DomainId, number: number): string {
  return frontendPath(domid, 'vbd', number)
}

export function vbdBackendPath(domid: DomainId, number: number): string {
  return backendPath(domid, 'vbd', number)
}

/** Where both halves' nodes are: computed from our own record, never read from what a guest may write. */
export function vbdPaths(domid: DomainId, number: number): readonly string[] {
  return [vbdBackendPath(domid, number), vbdFrontendPath(domid, number)]
}

/** Writes both halves of a disk. Belongs into a transaction, so that neither driver sees the other's missing. */
export async function writeVbd(nodes: XenstoreNodes, domid: DomainId, disk: VirtualDisk): Promise<void> {
  const frontend = vbdFrontendPath(domid, disk.number)
  const backend = vbdBackendPath(domid, disk.number)
  const { path, major, minor } = disk.loop
  const frontendNodes = {
    backend,
    'backend-id': String(DOM0),
    state: '1',
    'virtual-device': String(disk.number),
    'device-type': 'disk',
    protocol: 'x86_64-abi',
  }
  const backendNodes = {
    frontend,
    'frontend-id': String(domid),
    online: '1',
    removable: '0',
    bootable: '1',
    dev: disk.name,
    type: 'phy',
    mode: disk.readOnly ? 'r' : 'w',
    'device-type': 'disk',
    'discard-enable': '0',
    params: path,
    // Hexadecimal, as the block script writes it.
    'physical-device': `${major.toString(16)}:${minor.toString(16)}`,
    'hotplug-status': 'connected',
    state: '1',
  }
  // Directories first: the nodes below inherit their permissions.
  await Promise.all([
    nodes.makeDirectory(frontend, { permissions: frontendOf(domid) }),
    nodes.makeDirectory(backend, { permissions: readableBy(domid) }),
    ...Object.entries(frontendNodes).map(([name, value]) => nodes.write(`${frontend}/${name}`, value)),
    ...Object.entries(backendNodes).map(([name, value]) => nodes.write(`${backend}/${name}`, value)),
  ])
}

/** Plugs a disk into a domain that exists already. */
export async function attachVbd(xenstore: Xenstore, domid: DomainId, disk: VirtualDisk): Promise<void> {
  await xenstore.transaction((nodes) => writeVbd(nodes, domid, disk))
}

/** Waits until dom0's half is ready for the guest. Throws XenError `device-failed`. */
export async function waitForVbdBackend(
  xenstore: Xenstore,
  domid: DomainId,
  number: number,
  options: CallOptions = {},
): Promise<void> {
  const description = `the disk ${number}`
  await waitForBackend(xenstore, { domid, kind: 'vbd', number, description, module: 'xen-blkback' }, options)
}

/** Asks both halves to let go of a disk of a running domain, waits for it, removes the nodes. */
export async function detachVbd(
  xenstore: Xenstore,
  domid: DomainId,
  number: number,
  options: CallOptions = {},
): Promise<void> {
  await detachBackend(xenstore, { domid, kind: 'vbd', number }, options)
}
