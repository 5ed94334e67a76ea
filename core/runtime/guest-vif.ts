// A guest's interface from dom0's side: the device that xen-netback makes for it goes into our own namespace before it
// is switched on. In dom0's namespace the kernel itself would be the guest's neighbour, past all policy.
import { setTimeout as delay } from 'node:timers/promises'
import { openFile } from '../sys/file-descriptor.ts'
import { linkIndex, moveLink, setLinkUp } from '../sys/netlink-link.ts'
import { ensureNamespace, inNamespace, isNamespace } from '../sys/network-namespace.ts'
import { hasNetback, vifName, waitForVifBackend } from '../xen/devices/vif.ts'
import type { DomainId } from '../xen/domain-id.ts'
import type { Xenstore } from '../xen/xenstore/client.ts'
import { GuestError } from './errors.ts'

/** The only one that a guest has. */
export const guestVif = { number: 0 } as const

/** Where the devices of guests' interfaces are. */
export interface VifPlace {
  /** File of the namespace; it is made where there is none. */
  readonly namespacePath: string
  readonly mtu: number
  /** How long the device may take to appear. */
  readonly withinMs: number
}

const lookEveryMs = 2

/** Throws GuestError `guest.no-netback` where dom0's kernel cannot give the guest called `name` an interface. */
export function checkNetback(name: string): void {
  if (hasNetback()) return
  throw new GuestError(
    'guest.no-netback',
    `Cannot give guest "${name}" a network: dom0's kernel has no xen-netback loaded`,
    { hint: 'Run: modprobe xen-netback. With "--network none" the guest starts without a network.' },
  )
}

/**
 * Waits for the device of a guest's interface and puts it into the namespace, switched on: its name. Done again for a
 * device that is there already, nothing changes. Throws GuestError, XenError or SystemError, and the signal's reason.
 */
export async function raiseVif(
  xenstore: Xenstore,
  domid: DomainId,
  { namespacePath, mtu, withinMs }: VifPlace,
  signal?: AbortSignal,
): Promise<string> {
  const name = vifName(domid, guestVif.number)
  ensureNamespace(namespacePath)
  const limit = AbortSignal.timeout(withinMs)
  const either = signal === undefined ? limit : AbortSignal.any([signal, limit])
  try {
    await waitForVifBackend(xenstore, domid, guestVif.number, { signal: either })
    while (!isVifIn(namespacePath, name) && linkIndex(name) === undefined)
      await delay(lookEveryMs, undefined, { signal: either })
  } catch (error) {
    if (!limit.aborted || signal?.aborted) throw error
    throw new GuestError(
      'guest.no-vif',
      `Cannot give domain ${domid} a network: xen-netback did not make ${name} within ${withinMs / 1000} s`,
      { hint: "The log of dom0's kernel (dmesg) may say why.", cause: error },
    )
  }
  if (!isVifIn(namespacePath, name)) {
    using namespace = openFile(namespacePath, 'r')
    moveLink(name, namespace.fd)
  }
  inNamespace(namespacePath, () => setLinkUp(name, mtu))
  return name
}

/** Whether the device of that name is in the namespace of `path`. */
export function isVifIn(path: string, name: string): boolean {
  return isNamespace(path) && inNamespace(path, () => linkIndex(name)) !== undefined
}
