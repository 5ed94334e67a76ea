// Virtual network interfaces: a guest's Ethernet, whose other end is a network device of dom0 made by the kernel's
// xen-netback, `vifDOMID.NUMBER`. No hotplug script is needed: we write what one would (hotplug-status).
// Source: xen/include/public/io/netif.h; Linux, drivers/net/xen-netback/xenbus.c.
import { existsSync } from 'node:fs'
import { DOM0, type DomainId } from '../domain-id.ts'
import type { Xenstore } from '../xenstore/client.ts'
import type { CallOptions, XenstoreNodes } from '../xenstore/nodes.ts'
import { frontendOf, readableBy } from '../xenstore/permissions.ts'
import { backendPath, detachBackend, frontendPath, waitForBackend } from './backend.ts'

export interface VirtualInterface {
  /** Its place among the guest's interfaces, from 0 on: netif.h's handle. */
  readonly number: number
  /** `00:16:3e:01:02:03` */
  readonly mac: string
  /** Bytes of a packet, without its Ethernet header. Linux' netfront begins with 1500 whatever stands here. */
  readonly mtu: number
}

/** Linux registers xen-netback as the driver `vif` of this bus (xenbus_probe_backend.c). */
const netbackFolder = '/sys/bus/xen-backend/drivers/vif'

/** Whether dom0's kernel can give guests interfaces. */
export function hasNetback(folder = netbackFolder): boolean {
  return existsSync(folder)
}

/** The network device in dom0 that is the other end (xenvif_alloc). */
export function vifName(domid: DomainId, number: number): string {
  return `vif${domid}.${number}`
}

/** Where both halves' nodes are: computed from our own record, never read from what a guest may write. */
export function vifPaths(domid: DomainId, number: number): readonly string[] {
  return [backendPath(domid, 'vif', number), frontendPath(domid, 'vif', number)]
}

/** Writes both halves of an interface. Belongs into a transaction, so that neither driver sees the other's missing. */
export async function writeVif(
  nodes: XenstoreNodes,
  domid: DomainId,
  { number, mac, mtu }: VirtualInterface,
): Promise<void> {
  const frontend = frontendPath(domid, 'vif', number)
  const backend = backendPath(domid, 'vif', number)
  const frontendNodes = {
    backend,
    'backend-id': String(DOM0),
    state: '1',
    handle: String(number),
    mac,
    mtu: String(mtu),
  }
  const backendNodes = {
    frontend,
    'frontend-id': String(domid),
    online: '1',
    // Careful: netback's probe fails where this node is missing; it may be empty.
    script: '',
    mac,
    handle: String(number),
    type: 'vif',
    // netback lets a frontend connect only after a hotplug script has said this.
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

/**
 * Waits until dom0's half is ready for the guest. Careful: netback says so a moment before its network device is
 * there. Throws XenError `device-failed`.
 */
export async function waitForVifBackend(
  xenstore: Xenstore,
  domid: DomainId,
  number: number,
  options: CallOptions = {},
): Promise<void> {
  const description = `the network interface ${number}`
  await waitForBackend(xenstore, { domid, kind: 'vif', number, description, module: 'xen-netback' }, options)
}

/** Asks both halves to let go of an interface of a running domain, waits for it, removes the nodes. */
export async function detachVif(
  xenstore: Xenstore,
  domid: DomainId,
  number: number,
  options: CallOptions = {},
): Promise<void> {
  await detachBackend(xenstore, { domid, kind: 'vif', number }, options)
}
