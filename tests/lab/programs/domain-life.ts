// Runs in dom0: a domain's life from its making to its removal, with a console and a disk, on the xenstore transport named
// in `argv`; prints what was seen as JSON.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { guestVif, isVifIn, raiseVif } from '../../../core/runtime/guest-vif.ts'
import { attachLoopDevice, detachLoopDevice, listLoopDevices } from '../../../core/sys/loop-device.ts'
import { inNamespace, removeNamespace } from '../../../core/sys/network-namespace.ts'
import { buildDomain } from '../../../core/xen/build/domain-builder.ts'
import { diskNumber, waitForVbdBackend } from '../../../core/xen/devices/vbd.ts'
import {
  ensureDom0Nodes,
  findMirroredDomains,
  introduceDomain,
  removeDomainNodes,
} from '../../../core/xen/domain-nodes.ts'
import { isXenError } from '../../../core/xen/errors.ts'
import { openHypervisor } from '../../../core/xen/hypervisor.ts'
import { startRingWorker } from '../../../core/xen/ring/ring-worker-client.ts'
import { openXenstore } from '../../../core/xen/xenstore/open.ts'

export interface LifeSettings {
  readonly transport: 'socket' | 'device'
  readonly kernelPath: string
  readonly initrdPath: string
  readonly cacheFolder: string
}

const UUID = '00000000-0000-4000-8000-00000000d001'
const settings = JSON.parse(process.argv[2] ?? '{}') as LifeSettings
using hypervisor = openHypervisor()
using xenstore = await openXenstore({ transport: settings.transport })
await using rings = await startRingWorker()
await ensureDom0Nodes(xenstore)

const listNodes = () => execFileSync('xenstore-ls', ['-fp'], { encoding: 'utf8' })
const before = listNodes()
const disk = `${settings.cacheFolder}/disk.img`
writeFileSync(disk, Buffer.alloc(1 << 20, 'what is on the disk '))
const loop = attachLoopDevice({ path: disk, access: 'read-only' })
const domain = await buildDomain({
  uuid: UUID,
  memoryMiB: 128,
  vcpus: 1,
  kernelPath: settings.kernelPath,
  kernelCacheDir: settings.cacheFolder,
  initrd: [{ path: settings.initrdPath }],
  commandLine: 'console=hvc0 rdinit=/init quiet loglevel=4 random.trust_cpu=on',
})
const { domid } = domain
const disks = [{ number: diskNumber(0), name: 'xvda', loop, readOnly: true }]
const guest = {
  ...domain,
  uuid: UUID,
  guestId: 'a'.repeat(64),
  memoryMiB: 128,
  vcpus: 1,
  disks,
  interfaces: [{ ...guestVif, mac: '00:16:3e:00:00:07', mtu: 1500 }],
}
await introduceDomain(xenstore, { ...guest, name: 'life.1' })
const mirrored = await findMirroredDomains(xenstore)

let output = ''
const waiting = new Map<string, () => void>()
const seen = (text: string): Promise<void> => {
  if (output.includes(text)) return Promise.resolve()
  return new Promise((resolve) => waiting.set(text, resolve))
}
const consoleOptions = {
  domid,
  frame: domain.consoleFrame,
  port: domain.consolePort,
  onData: (bytes: Uint8Array) => {
    output += Buffer.from(bytes).toString('latin1')
    for (const [text, resolve] of waiting) if (output.includes(text)) resolve()
  },
  onError: (error: Error) => process.stderr.write(`${error.message}\n`),
}
const console = await rings.attachConsole(consoleOptions)
const second = await rings.attachConsole(consoleOptions).then(
  () => 'attached',
  (error: unknown) => (isXenError(error) ? `${error.code} ${error.errorName}` : String(error)),
)
const place = { namespacePath: `${settings.cacheFolder}/vifs`, mtu: 1500, withinMs: 10_000 }
const vif = await raiseVif(xenstore, domid, place)
const isRaisedOnce = vif === (await raiseVif(xenstore, domid, place))
hypervisor.unpause(domid)
await waitForVbdBackend(xenstore, domid, diskNumber(0), { signal: AbortSignal.timeout(30_000) })
await seen('ready for input')
const whileRunning = {
  info: hypervisor.domain(domid),
  nodes: listNodes(),
  xl: execFileSync('xl', ['list'], { encoding: 'utf8' }),
  devices: readdirSync('/sys/class/net'),
  vif: inNamespace(place.namespacePath, () => execFileSync('ip', ['address'], { encoding: 'utf8' })),
  counters: inNamespace(place.namespacePath, () => readFileSync('/proc/thread-self/net/dev', 'utf8')),
}

// More than the ring of 1024 bytes takes at once.
const line = 'x'.repeat(700)
console.write(Buffer.from(`${line}\n${line}\n${line}\n`))
await seen('3 lines of 700')

// The grant instead of the frame, as for a domain whose frame is not known; what is written meanwhile waits.
await console.detach()
const again = await rings.attachConsole({ ...consoleOptions, frame: undefined })
again.write(Buffer.from('off\n'))
await using released = await xenstore.watch('@releaseDomain')
for await (const _changed of released) {
  if (hypervisor.domain(domid)?.shutdownReason !== undefined) break
}
const shutdownReason = hypervisor.domain(domid)?.shutdownReason
await again.drain()
await again.detach()
await hypervisor.destroy(domid)

// Another domain's record must not remove these nodes.
await removeDomainNodes(xenstore, {
  domid,
  uuid: '00000000-0000-4000-8000-0000000000ff',
  disks,
  interfaces: [],
})
const notOurs = (await findMirroredDomains(xenstore)).length
await removeDomainNodes(xenstore, { domid, uuid: UUID, disks, interfaces: [guestVif] })
await removeDomainNodes(xenstore, { domid, uuid: UUID, disks, interfaces: [guestVif] })
for await (const _changed of released) {
  if (hypervisor.domain(domid) === undefined) break
}
while (isVifIn(place.namespacePath, vif)) await setImmediate()
removeNamespace(place.namespacePath)
detachLoopDevice(loop)
process.stdout.write(
  `${JSON.stringify({
    transport: xenstore.transportName,
    mirrored,
    second,
    isRunningListed: whileRunning.info?.uuid === UUID && !whileRunning.info.isPaused,
    xl: whileRunning.xl,
    devices: whileRunning.devices,
    vif: whileRunning.vif,
    counters: whileRunning.counters,
    isRaisedOnce,
    nodes: whileRunning.nodes,
    output,
    shutdownReason,
    notOurs,
    before,
    after: listNodes(),
    loops: listLoopDevices().length,
  })}\n`,
)
