// Which kernel a guest boots: the bundled one, else the dom0's own with its modules.
import { existsSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'
import { GuestError } from './errors.ts'

export interface GuestKernel {
  /** vmlinux or bzImage. */
  readonly path: string
  /** Folder with modules.dep; undefined for a kernel that has everything built in. */
  readonly modulesFolder: string | undefined
}

export interface KernelPlaces {
  /** Holds `vmlinux` and, for a modular kernel, `modules/`. */
  readonly bundled: string
  readonly boot: string
  readonly modules: string
}

export const systemKernelPlaces: KernelPlaces = {
  bundled: '/usr/share/bulkhead/kernel',
  boot: '/boot',
  modules: '/lib/modules',
}

export function chooseKernel(places: KernelPlaces): GuestKernel {
  const bundled = join(places.bundled, 'vmlinux')
  if (existsSync(bundled)) {
    const modules = join(places.bundled, 'modules')
    return { path: bundled, modulesFolder: existsSync(modules) ? modules : undefined }
  }
  const own = join(places.boot, `vmlinuz-${release()}`)
  if (existsSync(own)) return { path: own, modulesFolder: join(places.modules, release()) }
  throw new GuestError(
    'guest.no-kernel',
    `Cannot find a kernel for guests: neither ${bundled} nor ${own} is there`,
    {
      hint: "Install the package of this dom0's kernel, or put a kernel at the first place.",
    },
  )
}
