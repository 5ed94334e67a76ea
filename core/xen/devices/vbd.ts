// Virtual block devices: a block device of dom0 as a guest's disk, through the kernel's xen-blkback. We write
// what the hotplug scripts would write (physical-device, hotplug-status), so none is needed.
// Source: xen/include/public/io/blkif.h; Linux, drivers/block/xen-blkback/xenbus.c.
import { DOM0, type DomainId } from '../domain-id.ts'
import { XenError } from '../errors.ts'
import type { Xenstore } from '../xenstore/client.ts'
import type { CallOptions, XenstoreNodes } from '../xenstore/nodes.ts'
import { domainPath } from '../xenstore/path.ts'
import { frontendOf, readableBy } from '../xenstore/permissions.ts'
import { isBackendReady, readBackendState, type XenbusState } from './xenbus-state.ts'

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
  return `${domainPath(domid)}/device/vbd/${number}`
}

export function vbdBackendPath(domid: DomainId, number: number): string {
  return `${domainPath(DOM0)}/backend/vbd/${domid}/${number}`
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

/**
 * Waits until dom0's half is ready for the guest (InitWait or later). Throws XenError `device-failed` with the
 * kernel's own words when it gives up, and the signal's reason when that aborts.
 */
export async function waitForVbdBackend(
  xenstore: Xenstore,
  domid: DomainId,
  number: number,
  options: CallOptions = {},
): Promise<void> {
  const path = vbdBackendPath(domid, number)
  const state = await xenstore.waitFor(`${path}/state`, finalState, options)
  if (isBackendReady(state)) return
  // xenbus_dev_error() writes here; dom0's own kernel is the author.
  const reason = await xenstore.read(
    `${domainPath(DOM0)}/error/backend/vbd/${domid}/${number}/error`,
    options,
  )
  throw new XenError(
    'device-failed',
    `Cannot give domain ${domid} the disk ${number}: its backend is ${state}${reason === undefined ? '' : ` (${reason})`}`,
    { hint: 'The module xen-blkback must be loaded in dom0 (modprobe xen-blkback).' },
  )
}

/** Asks both halves to let go of a disk of a running domain, waits for it, removes the nodes. */
export async function detachVbd(
  xenstore: Xenstore,
  domid: DomainId,
  number: number,
  options: CallOptions = {},
): Promise<void> {
  const backend = vbdBackendPath(domid, number)
  await xenstore.transaction(async (nodes) => {
    if ((await nodes.list(backend)) === undefined) return
    await Promise.all([nodes.write(`${backend}/online`, '0'), nodes.write(`${backend}/state`, '5')])
  }, options)
  try {
    await xenstore.waitFor(`${backend}/state`, (value) => isClosed(readBackendState(value)), options)
  } finally {
    await Promise.all(vbdPaths(domid, number).map((path) => xenstore.remove(path)))
  }
}

function finalState(value: string | undefined): XenbusState | undefined {
  const state = readBackendState(value)
  return isBackendReady(state) || state === 'closing' || state === 'closed' ? state : undefined
}

function isClosed(state: XenbusState): true | undefined {
  return state === 'closed' || state === 'unknown' ? true : undefined
}
