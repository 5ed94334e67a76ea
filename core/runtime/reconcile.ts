// After a restart: every domain of ours is adopted or cleaned up, every record tells the truth again. The
// hypervisor's domain list decides who lives; the journal says what else there is.
import type { DomainInfo } from '../xen/domain-info.ts'
import { findMirroredDomains, removeDomainNodes } from '../xen/domain-nodes.ts'
import type { GuestEnd } from './exit-records.ts'
import type { Guest } from './guest.ts'
import { GuestLink } from './guest-link.ts'
import { domainUuid, type GuestRecord } from './guest-record.ts'
import { guestVif, raiseVif } from './guest-vif.ts'
import type { HostServices } from './host-services.ts'
import { journalPath, type Launched, rootDisk } from './launch.ts'
import { type LaunchedThing, readJournal, removeJournal } from './launch-journal.ts'

/** The device of a guest that runs is there; what waits is a core host that starts. */
const vifWithinMs = 2_000

export interface ReconcileResults {
  readonly adopted: (guest: Guest, launched: Launched) => void
  readonly ended: (guest: Guest, end: GuestEnd) => Promise<void>
}

export async function reconcile(
  guests: readonly Guest[],
  services: HostServices,
  results: ReconcileResults,
): Promise<void> {
  const domains = new Map(services.hypervisor.domains().map((domain) => [domain.uuid, domain]))
  const adopted = new Set<string>()
  for (const guest of guests.filter(({ isAlive }) => isAlive)) {
    const uuid = domainUuid(guest.id)
    const domain = domains.get(uuid)
    const steps = (await readJournal(journalPath(services, guest.id)))?.steps ?? []
    try {
      const wasRunning = guest.record.state === 'running' || guest.record.state === 'paused'
      if (wasRunning && domain !== undefined && !domain.isDying) {
        const launched = await adopt(guest, domain, steps, services)
        if (launched !== undefined) {
          adopted.add(uuid)
          results.adopted(guest, launched)
          guest.life.news({ type: 'started', pid: 0 })
          continue
        }
      }
    } catch (error) {
      services.log(
        `Cannot adopt guest "${guest.name}": ${error instanceof Error ? error.message : String(error)}`,
      )
    }
    await undo(guest, domain, steps, services)
    await results.ended(guest, guest.record.ending ?? { reason: 'lost' })
  }
  await removeStrays(adopted, services)
  const freed = services.loops.freeOrphans(`${services.stateFolder}/images`)
  if (freed > 0) services.log(`Freed ${freed} loop devices that no guest uses`)
}

/** Undefined where the journal does not say enough to hold on to the domain. */
async function adopt(
  guest: Guest,
  domain: DomainInfo,
  steps: readonly LaunchedThing[],
  services: HostServices,
): Promise<Launched | undefined> {
  const { record } = guest
  const nodes = steps.find((step) => step.kind === 'nodes')
  const loop = steps.find((step) => step.kind === 'loop')
  if (nodes === undefined || nodes.domid !== domain.domid || loop?.device === undefined) return undefined
  if (!services.loops.adopt(loop.file, loop.device, record.id)) return undefined
  const link = await GuestLink.attach({
    domid: domain.domid,
    rings: services.rings,
    xenstore: services.xenstore,
    streams: guest.life.streams,
    console: { frame: nodes.consoleFrame, port: nodes.consolePort },
    stdin: record.spec.process.stdin || record.spec.process.terminal,
    adopted: true,
    now: services.now,
    onNews: (news) => guest.life.news(news),
    log: services.log,
    onFatal: services.fatal,
  })
  await adoptNetwork(record, domain, services)
  return {
    domid: domain.domid,
    link,
    rootImagePath: loop.file,
    kernelPath: record.kernel ?? '',
    steps: record.launch ?? [],
  }
}

/** Never throws: a guest that has lost its network runs on, and the log says so. */
async function adoptNetwork(record: GuestRecord, domain: DomainInfo, services: HostServices): Promise<void> {
  if (record.network === undefined) return
  const { network, xenstore, log } = services
  const place = {
    namespacePath: network.namespacePath,
    mtu: network.settings.mtu,
    withinMs: vifWithinMs,
  }
  try {
    const vif = await raiseVif(xenstore, domain.domid, place)
    await network.attach(record, { vif, isAdopted: true })
  } catch (error) {
    log(`Guest "${record.name}" has no network: ${error instanceof Error ? error.message : String(error)}`)
  }
}

async function undo(
  guest: Guest,
  domain: DomainInfo | undefined,
  steps: readonly LaunchedThing[],
  services: HostServices,
): Promise<void> {
  const { hypervisor, xenstore, log } = services
  const uuid = domainUuid(guest.id)
  if (domain !== undefined) {
    log(`Destroying domain ${domain.domid}, left by a launch of guest "${guest.name}" that was cut short`)
    await hypervisor.destroy(domain.domid)
  }
  const domid = domain?.domid ?? steps.find((step) => step.kind === 'nodes')?.domid
  // A number that another domain has by now is not ours to clean.
  if (domid !== undefined && (domain !== undefined || hypervisor.domain(domid) === undefined))
    await removeDomainNodes(xenstore, { domid, uuid, disks: [rootDisk], interfaces: [guestVif] })
  await removeJournal(journalPath(services, guest.id))
}

/** Domains that our mirror in xenstore names and no guest owns: their guest was removed while we were away. */
async function removeStrays(adopted: ReadonlySet<string>, services: HostServices): Promise<void> {
  const { hypervisor, xenstore, log } = services
  for (const { domid, uuid } of await findMirroredDomains(xenstore)) {
    if (adopted.has(uuid)) continue
    const domain = hypervisor.domain(domid)
    if (domain?.uuid === uuid) {
      log(`Destroying domain ${domid}, which belongs to no guest any more`)
      await hypervisor.destroy(domid)
    }
    await removeDomainNodes(xenstore, { domid, uuid, disks: [rootDisk], interfaces: [guestVif] })
  }
}
