// What all devices' backends in dom0 have in common: they say how far they are in `state`, their driver's last word
// in the error folder, and let go when they are asked to close.
// Source: xen/include/public/io/xenbus.h; Linux, drivers/xen/xenbus/xenbus_client.c.
import { DOM0, type DomainId } from '../domain-id.ts'
import { XenError } from '../errors.ts'
import type { Xenstore } from '../xenstore/client.ts'
import type { CallOptions } from '../xenstore/nodes.ts'
import { domainPath } from '../xenstore/path.ts'
import { isBackendReady, readBackendState, type XenbusState } from './xenbus-state.ts'

export interface BackendDevice {
  readonly domid: DomainId
  /** `vbd`, `vif` */
  readonly kind: string
  readonly number: number
  /** As sentences name it: `the disk 51712`. */
  readonly description: string
  /** The driver of dom0 that serves it: `xen-blkback`. */
  readonly module: string
}

export function backendPath(domid: DomainId, kind: string, number: number): string {
  return `${domainPath(DOM0)}/backend/${kind}/${domid}/${number}`
}

export function frontendPath(domid: DomainId, kind: string, number: number): string {
  return `${domainPath(domid)}/device/${kind}/${number}`
}

/**
 * Waits until dom0's half is ready for the guest (InitWait or later). Throws XenError `device-failed` with the
 * kernel's own words when it gives up, and the signal's reason when that aborts.
 */
export async function waitForBackend(
  xenstore: Xenstore,
  { domid, kind, number, description, module }: BackendDevice,
  options: CallOptions = {},
): Promise<void> {
  const path = backendPath(domid, kind, number)
  const state = await xenstore.waitFor(`${path}/state`, finalState, options)
  if (isBackendReady(state)) return
  // xenbus_dev_error() writes here; dom0's own kernel is the author.
  const errorPath = `${domainPath(DOM0)}/error/backend/${kind}/${domid}/${number}/error`
  const reason = await xenstore.read(errorPath, options)
  throw new XenError(
    'device-failed',
    `Cannot give domain ${domid} ${description}: its backend is ${state}${reason === undefined ? '' : ` (${reason})`}`,
    { hint: `The module ${module} must be loaded in dom0 (modprobe ${module}).` },
  )
}

/** Asks both halves to let go of a device of a running domain, waits for it, removes the nodes. */
export async function detachBackend(
  xenstore: Xenstore,
  { domid, kind, number }: Pick<BackendDevice, 'domid' | 'kind' | 'number'>,
  options: CallOptions = {},
): Promise<void> {
  const backend = backendPath(domid, kind, number)
  await xenstore.transaction(async (nodes) => {
    if ((await nodes.list(backend)) === undefined) return
    await Promise.all([nodes.write(`${backend}/online`, '0'), nodes.write(`${backend}/state`, '5')])
  }, options)
  try {
    await xenstore.waitFor(`${backend}/state`, (value) => isClosed(readBackendState(value)), options)
  } finally {
    await Promise.all([backend, frontendPath(domid, kind, number)].map((path) => xenstore.remove(path)))
  }
}

function finalState(value: string | undefined): XenbusState | undefined {
  const state = readBackendState(value)
  return isBackendReady(state) || state === 'closing' || state === 'closed' ? state : undefined
}

function isClosed(state: XenbusState): true | undefined {
  return state === 'closed' || state === 'unknown' ? true : undefined
}
