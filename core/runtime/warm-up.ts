// What every first launch would wait for, done while nobody waits: the kernel unpacked, mapped and searched, the
// first part of the initrd written.
import { join } from 'node:path'
import { prepareKernel } from '../xen/build/domain-builder.ts'
import { guestInitrd, type RootFilesystem } from './boot-bundle.ts'
import { chooseKernel } from './guest-kernel.ts'
import type { HostServices } from './host-services.ts'

/** Never throws: a launch that misses something says so itself. */
export async function warmUp(
  services: HostServices,
  rootFilesystem: RootFilesystem,
  signal: AbortSignal,
): Promise<void> {
  const { kernels, stateFolder, guestInitPath, log } = services
  try {
    const kernel = chooseKernel(kernels)
    await prepareKernel({ kernelPath: kernel.path, kernelCacheDir: join(stateFolder, 'kernels') }, { signal })
    const cacheFolder = join(stateFolder, 'initrds')
    await guestInitrd({ guestInitPath, kernel, rootFilesystem, hasNetwork: true, cacheFolder })
  } catch (error) {
    if (signal.aborted) return
    log(`Cannot get ready for the first guest: ${error instanceof Error ? error.message : String(error)}`)
  }
}
