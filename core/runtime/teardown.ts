// Taking a domain and all that belongs to it away, from what we recorded, never from what the guest wrote.
// DESIGN 4.3: our own mappings go before we wait for the domain to be gone, or we would wait for ourselves.
import { setTimeout as delay } from 'node:timers/promises'
import { listLoopDevices } from '../sys/loop-device.ts'
import { vifName } from '../xen/devices/vif.ts'
import { removeDomainNodes } from '../xen/domain-nodes.ts'
import type { GuestRecord } from './guest-record.ts'
import { domainUuid } from './guest-record.ts'
import { guestVif, isVifIn } from './guest-vif.ts'
import type { HostServices } from './host-services.ts'
import { journalPath, type Launched, rootDisk } from './launch.ts'
import { removeJournal } from './launch-journal.ts'

const goneWithinMs = 15_000
const lookEveryMs = 10

/** Never throws: a step that fails is logged, and the others are taken all the same. */
export async function dismantle(
  record: GuestRecord,
  launched: Launched,
  services: HostServices,
): Promise<void> {
  const { hypervisor, xenstore, loops, network, log } = services
  const { domid, link, rootImagePath } = launched
  const uuid = domainUuid(record.id)
  const attempt = async (what: string, work: () => Promise<unknown> | unknown) => {
    try {
      await work()
    } catch (error) {
      log(`Guest "${record.name}": cannot ${what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  await attempt('let go of its rings', () => link.detach())
  await attempt('close its network', () => network.detach(record))
  await attempt('destroy its domain', () => hypervisor.destroy(domid))
  await attempt('remove its nodes from xenstore', () =>
    removeDomainNodes(xenstore, { domid, uuid, disks: [rootDisk], interfaces: [guestVif] }),
  )
  const device = loops.deviceOf(rootImagePath)
  await attempt('free its loop device', () => loops.release(rootImagePath, record.id))
  const isGone = await until(() => {
    const domain = hypervisor.domain(domid)
    return domain === undefined || domain.uuid !== uuid
  })
  if (!isGone) log(`Guest "${record.name}": its domain ${domid} is still dying; somebody holds its pages`)
  if (device !== undefined && loops.deviceOf(rootImagePath) === undefined) {
    // The kernel's backend closes the device in its own time.
    const isFree = await until(() =>
      listLoopDevices().every(
        ({ number, backing }) => number !== device.number || backing.inode !== device.backing.inode,
      ),
    )
    if (!isFree) log(`Guest "${record.name}": ${device.path} is still in use`)
  }
  const vif = vifName(domid, guestVif.number)
  if (!(await until(() => !isVifIn(network.namespacePath, vif))))
    log(`Guest "${record.name}": its network device ${vif} is still there`)
  await attempt('remove its launch journal', () => removeJournal(journalPath(services, record.id)))
}

async function until(test: () => boolean): Promise<boolean> {
  const deadline = performance.now() + goneWithinMs
  while (!test()) {
    if (performance.now() > deadline) return false
    await delay(lookEveryMs)
  }
  return true
}
