// Runs in dom0: uses the hypervisor without any guest's code, and prints what came of it as JSON.
import { domainId } from '../../../core/xen/domain-id.ts'
import { createDomain, setMaxMemory, setMaxVcpus } from '../../../core/xen/domctl.ts'
import { isXenError } from '../../../core/xen/errors.ts'
import { openHypercalls } from '../../../core/xen/hypercalls.ts'
import { openHypervisor } from '../../../core/xen/hypervisor.ts'
import { populatePhysmap } from '../../../core/xen/memory-op.ts'

using hypervisor = openHypervisor()
using hypercalls = openHypercalls()

const uuidOf = (number: number) => `00000000-0000-4000-8000-00000000e00${number}`
const [first, second] = [1, 2].map((number) => {
  const domid = createDomain(hypercalls, { uuid: uuidOf(number), maxVcpus: 1 })
  setMaxVcpus(hypercalls, domid, 1)
  setMaxMemory(hypercalls, domid, 300 * 1024)
  return domid
}) as [ReturnType<typeof domainId>, ReturnType<typeof domainId>]
const extents = new BigUint64Array(128).map((_, index) => BigInt(index * 512))
const populated = populatePhysmap(hypercalls, first, 9, extents)

const listed = hypervisor.domains().map(({ domid, uuid }) => ({ domid, uuid }))
const freeBefore = hypervisor.physicalInfo().freeMemoryMiB

// Memory of 256 MiB is given back while the event loop goes on.
let turns = 0
const counting = setInterval(() => turns++, 1)
await hypervisor.destroy(first)
clearInterval(counting)

const errorOf = (act: () => void) => {
  try {
    act()
    return 'none'
  } catch (error) {
    return isXenError(error) ? `${error.code} ${error.errorName}` : String(error)
  }
}
const result = {
  populated,
  framesAreDistinct: new Set(extents).size === extents.length,
  areListed: [first, second].every((domid, index) =>
    listed.some((domain) => domain.domid === domid && domain.uuid === uuidOf(index + 1)),
  ),
  turnsWhileDestroying: turns,
  // Xen 4.17 answers for the next domain that exists.
  missing: hypervisor.domain(first) ?? null,
  byUuid: hypervisor.domainByUuid(uuidOf(2))?.domid === second,
  freedMiB: hypervisor.physicalInfo().freeMemoryMiB - freeBefore,
  pauseMissing: errorOf(() => hypervisor.pause(first)),
  mapMissing: errorOf(() => hypercalls.privcmd.mapForeign(domainId(0x7000), BigUint64Array.of(1n))),
  version: hypervisor.version,
  capabilities: hypervisor.capabilities,
  console: hypervisor.readConsole(),
}
await hypervisor.destroy(second)
await hypervisor.destroy(second)
process.stdout.write(`${JSON.stringify({ ...result, left: hypervisor.domains().length })}\n`)
