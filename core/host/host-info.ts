// What this host is: `bulkhead host info`.
import { statfs } from 'node:fs/promises'
import { cpus, hostname, release, totalmem } from 'node:os'
import type { HostInfo } from '../api/methods.ts'
import { BulkheadError } from '../errors.ts'
import type { Guests } from '../runtime/guests.ts'
import type { HostServices } from '../runtime/host-services.ts'

export interface HostFacts {
  readonly version: string
  readonly isLab: boolean
}

export async function hostInfo(services: HostServices, guests: Guests, facts: HostFacts): Promise<HostInfo> {
  const { hypervisor, images, stateFolder } = services
  const physical = hypervisor.physicalInfo()
  const domains = hypervisor.domains()
  const { running, total } = guests.counts
  const disk = await statfs(stateFolder)
  return {
    version: facts.version,
    xen: {
      version: hypervisor.version,
      capabilities: hypervisor.capabilities.split(' ').filter(Boolean),
      commandLine: hypervisor.commandLine,
      totalMemoryMiB: Math.round(physical.totalMemoryMiB),
      freeMemoryMiB: Math.round(physical.freeMemoryMiB),
      cpus: physical.cpus,
      cpuKhz: physical.cpuKhz,
      hvm: physical.hasHvm,
    },
    dom0: {
      hostname: hostname(),
      kernel: release(),
      memoryMiB: Math.round(totalmem() / 1048576),
      vcpus: cpus().length,
      node: process.version,
    },
    guests: { running, total, foreign: Math.max(0, domains.length - 1 - running) },
    images: await countImages(images),
    stateDirectory: stateFolder,
    storeFreeBytes: disk.bavail * disk.bsize,
    lab: facts.isLab,
  }
}

/** None where the store cannot be read: "host check" says what is wrong with it. */
async function countImages(images: HostServices['images']): Promise<number> {
  try {
    return (await images.list()).length
  } catch (error) {
    if (error instanceof BulkheadError) return 0
    throw error
  }
}
