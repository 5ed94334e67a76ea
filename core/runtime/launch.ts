// One launch, in the order of DESIGN 4.3, each step with its undo: on failure or cancel nothing is left behind,
// and what a killed core host left is found again in the journal.
import { join } from 'node:path'
import type { LaunchStep } from '../api/methods.ts'
import { hostSearchDomains } from '../net/dns/search-domains.ts'
import { buildDomain } from '../xen/build/domain-builder.ts'
import { diskNumber, waitForVbdBackend } from '../xen/devices/vbd.ts'
import type { DomainId } from '../xen/domain-id.ts'
import { introduceDomain, removeDomainNodes } from '../xen/domain-nodes.ts'
import { guestInitrd, launchBundle } from './boot-bundle.ts'
import type { Guest } from './guest.ts'
import { chooseKernel } from './guest-kernel.ts'
import { GuestLink } from './guest-link.ts'
import { domainUuid } from './guest-record.ts'
import { checkNetback, guestVif, raiseVif } from './guest-vif.ts'
import type { HostServices } from './host-services.ts'
import { type LaunchedThing, removeJournal, writeJournal } from './launch-journal.ts'
import { checkFreeMemory } from './memory-check.ts'

/** The image's disk in the guest. */
export const rootDisk = { number: diskNumber(0), name: 'xvda' } as const

/** What libxl gives a backend too. */
const backendWithinMs = 10_000

export interface Launched {
  readonly domid: DomainId
  readonly link: GuestLink
  readonly rootImagePath: string
  readonly kernelPath: string
  readonly steps: readonly LaunchStep[]
}

export function journalPath(services: HostServices, id: string): string {
  return join(services.stateFolder, 'guests', id, 'launch.json')
}

/** Builds the guest's domain and lets it run. Throws, with everything undone, where a step fails. */
export async function launch(guest: Guest, services: HostServices, signal: AbortSignal): Promise<Launched> {
  const { hypervisor, xenstore, rings, images, loops, network } = services
  const { record, life } = guest
  const steps: LaunchStep[] = []
  const timed = async <T>(step: string, work: () => Promise<T> | T): Promise<T> => {
    signal.throwIfAborted()
    const before = performance.now()
    const result = await work()
    steps.push({ step, ms: round(performance.now() - before) })
    return result
  }
  await using undo = new AsyncDisposableStack()
  if (record.network !== undefined) checkNetback(record.name)

  const root = await timed('root image', () => images.rootImage(record.image.digest, signal))
  const kernel = chooseKernel(services.kernels)
  const initrd = await timed('initrd', async () => [
    {
      path: await guestInitrd({
        guestInitPath: services.guestInitPath,
        kernel,
        rootFilesystem: root.format,
        hasNetwork: record.network !== undefined,
        cacheFolder: join(services.stateFolder, 'initrds'),
      }),
    },
    {
      bytes: await launchBundle(record, root.format, {
        settings: network.settings,
        hostSearch: hostSearchDomains(),
      }),
    },
  ])
  checkFreeMemory(record, hypervisor.physicalInfo())

  const uuid = domainUuid(record.id)
  const journal = journalPath(services, record.id)
  const made: LaunchedThing[] = [
    { kind: 'loop', file: root.path },
    { kind: 'domain', uuid },
  ]
  await timed('journal', () => writeJournal(journal, made))
  undo.defer(() => removeJournal(journal))

  const loop = await timed('loop device', () => loops.acquire(root.path, record.id))
  undo.defer(() => loops.release(root.path, record.id))

  const domain = await timed('domain', () =>
    buildDomain(
      {
        uuid,
        memoryMiB: record.spec.memoryMiB,
        vcpus: record.spec.vcpus,
        kernelPath: kernel.path,
        kernelCacheDir: join(services.stateFolder, 'kernels'),
        initrd,
        commandLine: commandLine(record.spec.kernelArguments),
      },
      { signal },
    ),
  )
  undo.defer(() => hypervisor.destroy(domain.domid))
  for (const { step, ms } of domain.timings) steps.push({ step: `domain: ${step}`, ms: round(ms) })

  made.splice(
    0,
    made.length,
    { kind: 'loop', file: root.path, device: loop.number },
    { kind: 'domain', uuid, domid: domain.domid },
    {
      kind: 'nodes',
      domid: domain.domid,
      consolePort: domain.consolePort,
      consoleFrame: domain.consoleFrame,
    },
    { kind: 'vbd', domid: domain.domid, device: rootDisk.number },
    ...(record.network === undefined
      ? []
      : [{ kind: 'vif', domid: domain.domid, device: guestVif.number } as const]),
  )
  await timed('journal', () => writeJournal(journal, made))

  const disks = [{ ...rootDisk, loop, readOnly: true }]
  const { mtu } = network.settings
  const interfaces = record.network === undefined ? [] : [{ ...guestVif, mac: record.network.mac, mtu }]
  undo.defer(() => removeDomainNodes(xenstore, { domid: domain.domid, uuid, disks, interfaces }))
  await timed('xenstore', () =>
    introduceDomain(xenstore, {
      ...domain,
      uuid,
      guestId: record.id,
      name: record.name,
      memoryMiB: record.spec.memoryMiB,
      vcpus: record.spec.vcpus,
      disks,
      interfaces,
    }),
  )

  const link = await timed('console', () =>
    GuestLink.attach({
      domid: domain.domid,
      rings,
      xenstore,
      streams: life.streams,
      console: { frame: domain.consoleFrame, port: domain.consolePort },
      stdin: record.spec.process.stdin || record.spec.process.terminal,
      adopted: false,
      now: services.now,
      onNews: (news) => life.news(news),
      log: services.log,
      onFatal: services.fatal,
    }),
  )
  undo.defer(() => link.detach())

  await timed('disk', () =>
    waitForVbdBackend(xenstore, domain.domid, rootDisk.number, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(backendWithinMs)]),
    }),
  )
  if (record.network !== undefined) {
    const place = { namespacePath: network.namespacePath, mtu, withinMs: backendWithinMs }
    // Careful: before the guest runs. A device that is seen in dom0's namespace may be switched on there by others.
    const vif = await timed('vif', () => raiseVif(xenstore, domain.domid, place, signal))
    undo.defer(() => network.detach(record))
    await timed('network', () => network.attach(record, { vif }))
  }
  await timed('unpause', () => hypervisor.unpause(domain.domid))
  undo.move()
  return { domid: domain.domid, link, rootImagePath: root.path, kernelPath: kernel.path, steps }
}

/** The kernel may speak while it boots; guest-init lowers its voice to warnings when the program runs. */
function commandLine(more: readonly string[]): string {
  return ['console=hvc0', 'rdinit=/init', 'loglevel=7', 'random.trust_cpu=on', ...more].join(' ')
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100
}
