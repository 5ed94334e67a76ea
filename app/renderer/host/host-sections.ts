// What is said of a host, in sections of names and values.
import type { HostInfo } from '../../../core/api/methods.ts'
import { text } from '../text/en.ts'
import { formatBytes, formatMiB } from '../text/units.ts'
import type { Description } from '../ui/DescriptionList.vue'

export interface Section {
  readonly title: string
  readonly items: readonly Description[]
}

export function hostSections({
  xen,
  dom0,
  guests,
  version,
  images,
  stateDirectory,
  storeFreeBytes,
}: HostInfo): readonly Section[] {
  const strings = text.host
  return [
    {
      title: strings.xen,
      items: [
        { name: strings.version, value: xen.version },
        {
          name: strings.memory,
          value: strings.memoryFree(formatMiB(xen.freeMemoryMiB), formatMiB(xen.totalMemoryMiB)),
        },
        { name: strings.cpus, value: `${xen.cpus} × ${(xen.cpuKhz / 1e6).toFixed(2)} GHz` },
        { name: strings.capabilities, value: xen.capabilities.join(' '), isMono: true },
        { name: strings.commandLine, value: xen.commandLine, isMono: true, isCopied: true },
      ],
    },
    {
      title: strings.dom0,
      items: [
        { name: strings.hostname, value: dom0.hostname },
        { name: strings.kernel, value: dom0.kernel, isMono: true },
        { name: strings.memory, value: formatMiB(dom0.memoryMiB) },
        { name: text.guest.vcpus, value: String(dom0.vcpus) },
      ],
    },
    {
      title: strings.core,
      items: [
        { name: strings.version, value: version },
        { name: strings.node, value: dom0.node },
        { name: strings.guests, value: strings.guestsValue(guests.running, guests.total) },
        { name: strings.foreign, value: String(guests.foreign) },
        { name: strings.images, value: String(images) },
        { name: strings.state, value: stateDirectory, isMono: true, isCopied: true },
        { name: strings.storeFree, value: formatBytes(storeFreeBytes) },
      ],
    },
  ]
}
