// Whether this host is ready to run guests, check by check, each with what to do: `bulkhead host check`.
import { access, constants, readFile, statfs } from 'node:fs/promises'
import { release } from 'node:os'
import type { HostCheck } from '../api/methods.ts'
import { BulkheadError } from '../errors.ts'
import { chooseKernel } from '../runtime/guest-kernel.ts'
import type { HostServices } from '../runtime/host-services.ts'
import { hasNetback } from '../xen/devices/vif.ts'

interface CheckResult {
  readonly passed: boolean
  readonly detail: string
  readonly fix?: string | undefined
}

interface CheckDefinition {
  readonly id: string
  readonly title: string
  run(services: HostServices): Promise<CheckResult> | CheckResult
}

const devices = ['privcmd', 'hypercall', 'evtchn', 'gntdev', 'xenbus']
const modules = ['xen-blkback', 'loop']
const neededDiskBytes = 1024 ** 3

const definitions: readonly CheckDefinition[] = [
  {
    id: 'xen',
    title: 'Xen hypervisor',
    run: ({ hypervisor }) => ({ passed: true, detail: `Xen ${hypervisor.version} runs below this machine` }),
  },
  {
    id: 'dom0',
    title: 'Control domain',
    run: async () => {
      const capabilities = await firstLine('/proc/xen/capabilities')
      if (capabilities.includes('control_d')) return { passed: true, detail: 'This is the control domain' }
      return {
        passed: false,
        detail: capabilities === '' ? 'xenfs is not mounted' : 'This is a guest, not the control domain',
        fix: capabilities === '' ? 'mount -t xenfs xenfs /proc/xen' : 'Run Bulkhead in dom0.',
      }
    },
  },
  {
    id: 'devices',
    title: "Xen's devices",
    run: async () => {
      const missing: string[] = []
      for (const name of devices) if (!(await isReadable(`/dev/xen/${name}`))) missing.push(name)
      if (missing.length === 0) return { passed: true, detail: 'All of /dev/xen is there' }
      return {
        passed: false,
        detail: `/dev/xen lacks ${missing.join(', ')}`,
        fix: 'modprobe -a xen-privcmd xen-evtchn xen-gntdev',
      }
    },
  },
  {
    id: 'xenstore',
    title: 'xenstored',
    run: async ({ xenstore }) => {
      const name = await xenstore.read('/local/domain/0/name').catch((error: unknown) => error)
      if (typeof name === 'string')
        return { passed: true, detail: `xenstored answers over ${xenstore.transportName}` }
      return {
        passed: false,
        detail: name instanceof BulkheadError ? name.message : 'xenstored answers, but does not know dom0',
        fix: 'systemctl start xenstored',
      }
    },
  },
  {
    id: 'modules',
    title: 'Block backend',
    run: async () => {
      const missing: string[] = []
      const builtIn = await readFile(`/lib/modules/${release()}/modules.builtin`, 'utf8').catch(() => '')
      for (const name of modules) {
        const loaded = await isReadable(`/sys/module/${name.replaceAll('-', '_')}`)
        if (!loaded && !builtIn.includes(`/${name}.ko`)) missing.push(name)
      }
      if (missing.length === 0) return { passed: true, detail: 'The kernel can give guests disks' }
      return {
        passed: false,
        detail: `The kernel has not loaded ${missing.join(', ')}`,
        fix: `modprobe -a ${missing.join(' ')}`,
      }
    },
  },
  {
    id: 'netback',
    title: 'Network backend',
    run: () =>
      hasNetback()
        ? { passed: true, detail: 'The kernel can give guests interfaces' }
        : {
            passed: false,
            detail: 'The kernel has not loaded xen-netback',
            fix: 'modprobe xen-netback',
          },
  },
  {
    id: 'network',
    title: "Guests' network",
    run: ({ network }) => {
      const { state, message } = network.list().engine
      const [conflict] = network.warnings()
      if (state !== 'running')
        return {
          passed: false,
          detail: `The network engine does not run${message === undefined ? '' : `: ${message}`}`,
          fix: 'It is started again by itself; the log of the core host says more.',
        }
      if (conflict !== undefined)
        return {
          passed: false,
          detail: conflict,
          fix: 'See docs/networking.md for /etc/bulkhead/network.json.',
        }
      return { passed: true, detail: 'The network engine runs' }
    },
  },
  {
    id: 'kernel',
    title: 'Kernel for guests',
    run: ({ kernels }) => {
      try {
        return { passed: true, detail: `Guests boot ${chooseKernel(kernels).path}` }
      } catch (error) {
        return failed(error)
      }
    },
  },
  {
    id: 'memory',
    title: 'Memory for guests',
    run: ({ hypervisor }) => {
      const freeMiB = Math.floor(hypervisor.physicalInfo().freeMemoryMiB)
      if (freeMiB >= 256) return { passed: true, detail: `Xen has ${freeMiB} MiB free` }
      return {
        passed: false,
        detail: `Xen has only ${freeMiB} MiB free`,
        fix: "Give dom0 a fixed share: add dom0_mem=2048M,max:2048M to Xen's command line, and boot again.",
      }
    },
  },
  {
    id: 'disk',
    title: 'Room for images',
    run: async ({ stateFolder }) => {
      const { bavail, bsize } = await statfs(stateFolder)
      const freeGiB = ((bavail * bsize) / 1024 ** 3).toFixed(1)
      if (bavail * bsize >= neededDiskBytes)
        return { passed: true, detail: `${stateFolder} has ${freeGiB} GiB free` }
      return {
        passed: false,
        detail: `${stateFolder} has only ${freeGiB} GiB free`,
        fix: 'bulkhead image prune, or a larger disk',
      }
    },
  },
  {
    id: 'images',
    title: 'Image store',
    run: async ({ images }) => {
      try {
        const { length } = await images.list()
        return { passed: true, detail: `The store can be read; names of images in it: ${length}` }
      } catch (error) {
        return failed(error)
      }
    },
  },
  {
    id: 'registries',
    title: 'Settings for registries',
    run: async ({ images }) => {
      try {
        await images.checkSettings()
        return { passed: true, detail: 'There is nothing wrong with them' }
      } catch (error) {
        return failed(error)
      }
    },
  },
]

/** What a failure of ours says. */
function failed(error: unknown): CheckResult {
  if (error instanceof BulkheadError) return { passed: false, detail: error.message, fix: error.hint }
  throw error
}

export async function hostChecks(services: HostServices): Promise<HostCheck[]> {
  return await Promise.all(
    definitions.map(async ({ id, title, run }) => {
      const { passed, detail, fix } = await run(services)
      return { id, title, passed, detail, ...(fix === undefined ? {} : { fix }) }
    }),
  )
}

async function isReadable(path: string): Promise<boolean> {
  return await access(path, constants.R_OK).then(
    () => true,
    () => false,
  )
}

/** One line of a file, trimmed; empty where it cannot be read. */
async function firstLine(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).split('\n', 1)[0]?.trim() ?? ''
  } catch {
    // Not there: on this host that is an answer too.
    return ''
  }
}
