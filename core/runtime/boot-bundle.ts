// The initrd of a guest: guest-init with the kernel's modules, the same for many guests and cached, and the
// launch bundle, written for one launch. docs/contracts/bundle.md.
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { replaceFile } from '../durable-file.ts'
import { searchDomains } from '../net/dns/search-domains.ts'
import type { NetworkSettings } from '../net/settings.ts'
import type { RootImage } from '../oci/image-worker-client.ts'
import { type InitrdEntry, makeInitrd } from '../xen/kernel/initrd.ts'
import { decompressModule } from '../xen/kernel/module-file.ts'
import { planModules } from '../xen/kernel/module-plan.ts'
import { GuestError } from './errors.ts'
import type { GuestKernel } from './guest-kernel.ts'
import type { GuestRecord } from './guest-record.ts'

/** What guest-init needs of a modular kernel; those that a kernel has built in are left out. */
const neededModules = ['xen-evtchn', 'xen-gntalloc', 'xen-blkfront', 'overlay']
const networkModules = ['xen-netfront']

/** What a root image is written as. */
export type RootFilesystem = RootImage['format']

export interface InitrdOptions {
  readonly guestInitPath: string
  readonly kernel: GuestKernel
  readonly rootFilesystem: RootFilesystem
  readonly hasNetwork: boolean
  /** Where first parts are kept. */
  readonly cacheFolder: string
}

/** First parts by what they were made from: reading the kernel's module lists again takes longer than a launch should. */
const known = new Map<string, string>()

/** Path of the initrd's first part, made if it is not there. */
export async function guestInitrd(options: InitrdOptions): Promise<string> {
  const { guestInitPath, kernel, rootFilesystem, hasNetwork, cacheFolder } = options
  const sources = [
    guestInitPath,
    ...(kernel.modulesFolder === undefined ? [] : [join(kernel.modulesFolder, 'modules.dep')]),
  ]
  const identities = await Promise.all(sources.map(identityOf))
  const key = JSON.stringify([cacheFolder, kernel, rootFilesystem, hasNetwork, identities])
  const cached = known.get(key)
  if (cached !== undefined && (await exists(cached))) return cached
  const made = await makeGuestInitrd(options)
  known.set(key, made)
  return made
}

/** What changes when a file is replaced or written; `undefined` for one that is not there. */
async function identityOf(path: string): Promise<string | undefined> {
  return await stat(path).then(
    ({ ino, size, mtimeMs }) => `${ino} ${size} ${mtimeMs}`,
    () => undefined,
  )
}

async function exists(path: string): Promise<boolean> {
  return (await identityOf(path)) !== undefined
}

async function makeGuestInitrd(options: InitrdOptions): Promise<string> {
  const { guestInitPath, kernel, rootFilesystem, hasNetwork, cacheFolder } = options
  const init = await readFile(guestInitPath).catch((error: unknown) => {
    throw new GuestError('guest.no-init', `Cannot read guest-init at ${guestInitPath}`, {
      hint: 'Build it with "make -C guest-init".',
      cause: error,
    })
  })
  const plan =
    kernel.modulesFolder === undefined
      ? undefined
      : await planModules(kernel.modulesFolder, [
          ...neededModules,
          rootFilesystem,
          ...(hasNetwork ? networkModules : []),
        ])
  if (plan !== undefined && plan.missing.length > 0)
    throw new GuestError(
      'guest.no-module',
      `The kernel ${kernel.path} lacks what a guest needs: ${plan.missing.join(', ')}`,
    )
  const modules = plan?.modules ?? []
  const hash = createHash('sha256').update(init)
  for (const { path } of modules) {
    const { size, mtimeMs } = await stat(path)
    hash.update(`\0${path}\0${size}\0${mtimeMs}`)
  }
  const target = join(cacheFolder, `${hash.digest('hex')}.cpio`)
  if (await exists(target)) return target
  const entries: InitrdEntry[] = [{ kind: 'file', path: 'init', mode: 0o755, data: init }]
  for (const [index, { name, path }] of modules.entries()) {
    entries.push({
      kind: 'file',
      path: `bulkhead/modules/${String(index).padStart(2, '0')}-${name}.ko`,
      mode: 0o600,
      data: await decompressModule(await readFile(path)),
    })
  }
  await mkdir(cacheFolder, { recursive: true, mode: 0o700 })
  await replaceFile(target, await makeInitrd(entries))
  return target
}

export interface NetworkAround {
  readonly settings: NetworkSettings
  /** In which domains the host looks for names. */
  readonly hostSearch: readonly string[]
}

/** The initrd's second part: the launch spec for guest-init. */
export async function launchBundle(
  record: GuestRecord,
  rootFilesystem: RootFilesystem,
  around: NetworkAround,
): Promise<Uint8Array<ArrayBuffer>> {
  const { process, hostname, readOnlyRoot } = record.spec
  const bundle = {
    version: 1,
    id: record.id,
    hostname,
    root: {
      device: '/dev/xvda',
      filesystem: rootFilesystem,
      upper: readOnlyRoot ? { kind: 'none' } : { kind: 'tmpfs', sizeBytes: 0 },
    },
    process: { ...process, argv: [...process.argv], env: [...process.env], groups: [...process.groups] },
    ...networkOf(record, around),
    hosts: [],
    seed: randomBytes(64).toString('base64'),
  }
  return await makeInitrd([
    { kind: 'directory', path: 'bulkhead', mode: 0o755 },
    { kind: 'file', path: 'bulkhead/bundle.json', mode: 0o600, data: JSON.stringify(bundle) },
  ])
}

/** Addresses are the record's; names are asked of the gateway, unless the guest is to ask others. */
function networkOf({ network, spec }: GuestRecord, { settings, hostSearch }: NetworkAround) {
  if (network === undefined)
    return { network: { kind: 'none' }, dns: { servers: [], search: [], options: [] } }
  const { gatewayIpv4, gatewayIpv6, mtu, zone } = settings
  const { servers, search, options } = spec.network.dns
  return {
    network: {
      kind: 'static',
      mac: network.mac,
      mtu,
      ipv4: { address: network.ipv4, gateway: gatewayIpv4 },
      ipv6: { address: network.ipv6, gateway: gatewayIpv6 },
    },
    dns: {
      servers: servers.length === 0 ? [gatewayIpv4, gatewayIpv6] : servers,
      search: searchDomains(search, zone, hostSearch),
      options,
    },
  }
}
