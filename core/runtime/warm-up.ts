// What every first launch would wait for, done while nobody waits: the kernel unpacked, mapped and searched, the
// first part of the initrd written.
import { join } from 'node:path'
import { prepareKernel } from '../xen/build/domain-builder.ts'
import { guestInitrd } from './boot-bundle.ts'
import { chooseKernel } from './guest-kernel.ts'
import type { HostServices } from './host-services.ts'

/** Never throws: a launch that misses something says so itself. */
export async function warmUp({ kernels, stateFolder, guestInitPath, log }: HostServices): Promise<void> {
  try {
    const kernel = chooseKernel(kernels)
    await prepareKernel({ kernelPath: kernel.path, kernelCacheDir: join(stateFolder, 'kernels') })
    await guestInitrd({ guestInitPath, kernel, cacheFolder: join(stateFolder, 'initrds') })
  } catch (error) {
    log(`Cannot get ready for the first guest: ${error instanceof Error ? error.message : String(error)}`)
  }
}
