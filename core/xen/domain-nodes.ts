// A domain's entries in xenstore: what its kernel looks for, what `xl list` shows, its devices, and our own mirror
// by which a core host finds its domains again. Everything in one transaction, after the domain exists in Xen
// (xenstored ties permissions to the domain's life, XSA-322) and before it runs.
import { type VirtualDisk, vbdPaths, writeVbd } from './devices/vbd.ts'
import { type VirtualInterface, vifPaths, writeVif } from './devices/vif.ts'
import { DOM0, type DomainId, domainId } from './domain-id.ts'
import { XenError } from './errors.ts'
import type { Xenstore } from './xenstore/client.ts'
import type { XenstoreNodes } from './xenstore/nodes.ts'
import { domainPath } from './xenstore/path.ts'
import { dom0Only, ownedBy, readableBy } from './xenstore/permissions.ts'

export interface DomainNodesOptions {
  readonly domid: DomainId
  readonly uuid: string
  /** Our own identity for the guest, kept in the mirror. */
  readonly guestId: string
  /** Shown by `xl list`; letters, digits, `_ . -`, as programs make paths of it. */
  readonly name: string
  readonly memoryMiB: number
  readonly maxMemoryMiB?: number | undefined
  readonly vcpus: number
  /** Event channel ports in the domain, and machine frames of its rings. */
  readonly storePort: number
  readonly storeFrame: number
  readonly consolePort: number
  readonly consoleFrame: number
  readonly disks: readonly VirtualDisk[]
  readonly interfaces: readonly VirtualInterface[]
}

/** Not "xenconsoled": that daemon then leaves the console to us. */
const CONSOLE_TYPE = 'bulkhead'
const MIRROR_ROOT = '/bulkhead'
// Longer than our names ever are, shorter than a node's quota.
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/
const KIB_PER_MIB = 1024

/** Writes a domain's entries and introduces it to xenstored. Throws XenError; then nothing was written. */
export async function introduceDomain(xenstore: Xenstore, options: DomainNodesOptions): Promise<void> {
  const { domid, storeFrame, storePort } = options
  if (!namePattern.test(options.name)) {
    throw new XenError(
      'xenstore-protocol',
      `Cannot introduce domain ${domid}: "${options.name}" is not a name`,
    )
  }
  await xenstore.transaction(async (nodes) => {
    // Careful: requests of one connection are done in order, so the domain's folder gets its permissions before
    // the nodes below it are made and inherit these.
    await Promise.all([
      ...writeFolders(nodes, options),
      ...writeValues(nodes, options),
      ...writeGuestNodes(nodes, domid),
      ...writeConsole(nodes, options),
      ...writeMirror(nodes, options),
      ...options.disks.map((disk) => writeVbd(nodes, domid, disk)),
      ...options.interfaces.map((one) => writeVif(nodes, domid, one)),
    ])
  })
  try {
    await xenstore.introduce(domid, { ringFrame: BigInt(storeFrame), eventChannelPort: storePort })
  } catch (error) {
    await removeDomainNodes(xenstore, options)
    throw error
  }
}

export interface RecordedDomain {
  readonly domid: number
  readonly uuid: string
  readonly disks: readonly { readonly number: number }[]
  readonly interfaces: readonly { readonly number: number }[]
}

/**
 * Removes a domain's entries. Everything comes from the caller's record: a path that the guest could have
 * written is never followed. The domain should be destroyed already; its kernel backends then let go by
 * themselves. Nothing happens for what is gone, or where another domain has the number by now.
 */
export async function removeDomainNodes(xenstore: Xenstore, recorded: RecordedDomain): Promise<void> {
  const domid = domainId(recorded.domid)
  const vm = vmPath(recorded.uuid)
  await xenstore.transaction(async (nodes) => {
    // Both are dom0's own nodes. The mirror is written and removed together with all others.
    const [mirrored, current] = await Promise.all([
      nodes.read(`${mirrorPath(domid)}/uuid`),
      nodes.read(`${domainPath(domid)}/vm`),
    ])
    const removed = [vm]
    if (mirrored === recorded.uuid) {
      removed.push(mirrorPath(domid))
      if (current === vm || current === undefined) {
        const devices = [
          ...recorded.disks.flatMap(({ number }) => vbdPaths(domid, number)),
          ...recorded.interfaces.flatMap(({ number }) => vifPaths(domid, number)),
        ]
        removed.push(...devices, backendFolder('console', domid), domainPath(domid))
      }
    }
    await Promise.all(removed.map((path) => nodes.remove(path)))
    for (const folder of [backendFolder('vbd', domid), backendFolder('vif', domid)])
      if ((await nodes.list(folder))?.length === 0) await nodes.remove(folder)
  })
}

export interface MirroredDomain {
  readonly domid: DomainId
  readonly uuid: string
  readonly guestId: string
  readonly name: string
}

/** The domains that a core host introduced and nobody has removed, running or not. */
export async function findMirroredDomains(xenstore: Xenstore): Promise<readonly MirroredDomain[]> {
  const found: MirroredDomain[] = []
  for (const entry of (await xenstore.list(MIRROR_ROOT)) ?? []) {
    if (!/^[0-9]{1,5}$/.test(entry)) continue
    const domid = domainId(Number(entry))
    const [uuid, guestId, name] = await Promise.all(
      ['uuid', 'id', 'name'].map((node) => xenstore.read(`${mirrorPath(domid)}/${node}`)),
    )
    if (uuid === undefined) continue
    found.push({ domid, uuid, guestId: guestId ?? '', name: name ?? '' })
  }
  return found
}

/** Writes what names dom0 itself where nobody did (xen-init-dom0 does on a machine with Xen's tools). */
export async function ensureDom0Nodes(xenstore: Xenstore): Promise<void> {
  const dom0 = domainPath(DOM0)
  const [domid, name] = await Promise.all([xenstore.read(`${dom0}/domid`), xenstore.read(`${dom0}/name`)])
  await Promise.all([
    domid === undefined ? xenstore.write(`${dom0}/domid`, '0') : undefined,
    name === undefined ? xenstore.write(`${dom0}/name`, 'Domain-0') : undefined,
  ])
}

function mirrorPath(domid: DomainId): string {
  return `${MIRROR_ROOT}/${domid}`
}

function vmPath(uuid: string): string {
  return `/vm/${uuid}`
}

function backendFolder(kind: string, domid: DomainId): string {
  return `${domainPath(DOM0)}/backend/${kind}/${domid}`
}

function writeFolders(nodes: XenstoreNodes, { domid, uuid }: DomainNodesOptions): Promise<void>[] {
  const permissions = readableBy(domid)
  return [
    nodes.makeDirectory(domainPath(domid), { permissions }),
    nodes.makeDirectory(vmPath(uuid), { permissions }),
  ]
}

function writeValues(nodes: XenstoreNodes, options: DomainNodesOptions): Promise<void>[] {
  const { domid, uuid, name, memoryMiB, maxMemoryMiB = memoryMiB, vcpus } = options
  const values: Record<string, string> = {
    name,
    domid: String(domid),
    vm: vmPath(uuid),
    'memory/static-max': String(maxMemoryMiB * KIB_PER_MIB),
    'memory/target': String(memoryMiB * KIB_PER_MIB),
    'memory/videoram': '0',
    'store/port': String(options.storePort),
    'store/ring-ref': String(options.storeFrame),
    'control/platform-feature-multiprocessor-suspend': '1',
    'control/platform-feature-xs_reset_watches': '1',
  }
  for (let vcpu = 0; vcpu < vcpus; vcpu++) values[`cpu/${vcpu}/availability`] = 'online'
  return [
    ...Object.entries(values).map(([node, value]) => nodes.write(`${domainPath(domid)}/${node}`, value)),
    nodes.write(`${vmPath(uuid)}/uuid`, uuid),
    nodes.write(`${vmPath(uuid)}/name`, name),
    nodes.write(`${vmPath(uuid)}/image/ostype`, 'linux'),
  ]
}

/** What the guest may write, each its own: whatever is read from these is hostile input. */
function writeGuestNodes(nodes: XenstoreNodes, domid: DomainId): Promise<void>[] {
  const owned = [
    'control/shutdown',
    'control/sysrq',
    'control/feature-poweroff',
    'control/feature-reboot',
    'control/feature-suspend',
    'device/suspend/event-channel',
    'data',
    'drivers',
    'feature',
    'attr',
    'error',
  ]
  return owned.map((node) =>
    nodes.makeDirectory(`${domainPath(domid)}/${node}`, { permissions: ownedBy(domid) }),
  )
}

/** Careful: none of these may be writable by the guest (XSA-57), or it could mislead tools. */
function writeConsole(nodes: XenstoreNodes, options: DomainNodesOptions): Promise<void>[] {
  const { domid, consolePort, consoleFrame } = options
  const frontend = `${domainPath(domid)}/console`
  const backend = `${backendFolder('console', domid)}/0`
  const frontendValues = {
    backend,
    'backend-id': String(DOM0),
    // What keeps xenconsoled off must be there in the same moment as the port.
    type: CONSOLE_TYPE,
    limit: '1048576',
    output: 'pty',
    tty: '',
    port: String(consolePort),
    'ring-ref': String(consoleFrame),
  }
  const backendValues = {
    frontend,
    'frontend-id': String(domid),
    online: '1',
    state: '1',
    protocol: 'vt100',
  }
  return [
    ...Object.entries(frontendValues).map(([node, value]) => nodes.write(`${frontend}/${node}`, value)),
    nodes.makeDirectory(backend, { permissions: readableBy(domid) }),
    ...Object.entries(backendValues).map(([node, value]) => nodes.write(`${backend}/${node}`, value)),
  ]
}

function writeMirror(
  nodes: XenstoreNodes,
  { domid, uuid, guestId, name }: DomainNodesOptions,
): Promise<void>[] {
  const path = mirrorPath(domid)
  return [
    nodes.makeDirectory(path, { permissions: dom0Only }),
    nodes.write(`${path}/uuid`, uuid),
    nodes.write(`${path}/id`, guestId),
    nodes.write(`${path}/name`, name),
  ]
}
