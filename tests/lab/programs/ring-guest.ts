// For programs in dom0: boots the guest of tests/lab/guests/ring-guest.c, attaches to it, takes it away.
import { readFile } from 'node:fs/promises'
import { release } from 'node:os'
import { basename } from 'node:path'
import { buildDomain } from '../../../core/xen/build/domain-builder.ts'
import { domainId } from '../../../core/xen/domain-id.ts'
import { introduceDomain, removeDomainNodes } from '../../../core/xen/domain-nodes.ts'
import { openHypervisor } from '../../../core/xen/hypervisor.ts'
import { makeInitrd } from '../../../core/xen/kernel/initrd.ts'
import { decompressModule } from '../../../core/xen/kernel/module-file.ts'
import { planModules } from '../../../core/xen/kernel/module-plan.ts'
import type { ChannelRing, Frame, RingWorker } from '../../../core/xen/ring/ring-worker-client.ts'
import type { Xenstore } from '../../../core/xen/xenstore/client.ts'

export interface BootSettings {
  readonly uuid: string
  readonly kernelPath: string
  readonly guestPath: string
  readonly cacheFolder: string
  /** `/lib/modules/RELEASE` of the kernel; the running one's by default. */
  readonly moduleFolder?: string
}

/** A guest that runs, as one process tells the next. */
export interface RunningGuest {
  readonly uuid: string
  readonly domid: number
}

/** Frame types of ring-guest.c. */
export const TYPE = { data: 2, source: 100, summary: 101, echo: 102, evil: 103 } as const
export const EVIL = { prod: 0, cons: 1, length: 2, cut: 3, flags: 4, storm: 5, powerOff: 6 } as const

/** Builds and starts the guest and waits for its announcement. */
export async function bootRingGuest(
  settings: BootSettings,
  rings: RingWorker,
  xenstore: Xenstore,
): Promise<RunningGuest> {
  using hypervisor = openHypervisor()
  const { uuid } = settings
  const domain = await buildDomain({
    uuid,
    memoryMiB: 128,
    vcpus: 1,
    kernelPath: settings.kernelPath,
    kernelCacheDir: settings.cacheFolder,
    initrd: [{ bytes: await ringGuestInitrd(settings) }],
    commandLine: 'console=hvc0 rdinit=/init quiet loglevel=4 random.trust_cpu=on',
  })
  const { domid } = domain
  await introduceDomain(xenstore, {
    ...domain,
    uuid,
    guestId: uuid,
    name: `ring-${domid}`,
    memoryMiB: 128,
    vcpus: 1,
    disks: [],
    interfaces: [],
  })
  const output: Uint8Array[] = []
  const console = await rings.attachConsole({
    domid,
    frame: domain.consoleFrame,
    port: domain.consolePort,
    onData: (bytes) => output.push(bytes),
    onError: (error) => process.stderr.write(`${error.message}\n`),
  })
  hypervisor.unpause(domid)
  try {
    await announcement(xenstore, domid, AbortSignal.timeout(120_000))
  } catch (error) {
    process.stderr.write(`The guest said: ${Buffer.concat(output)}\n`)
    throw error
  } finally {
    await console.detach()
  }
  return { uuid, domid }
}

async function ringGuestInitrd({ guestPath, moduleFolder = `/lib/modules/${release()}` }: BootSettings) {
  const plan = await planModules(moduleFolder, ['xen-gntalloc', 'xen-evtchn'])
  const modules = await Promise.all(
    plan.modules.map(async ({ path }, index) => ({
      kind: 'file' as const,
      path: `modules/${index}-${basename(path)}`,
      mode: 0o600,
      data: await decompressModule(new Uint8Array(await readFile(path))),
    })),
  )
  return makeInitrd([
    { kind: 'file', path: 'init', mode: 0o755, file: guestPath },
    { kind: 'character-device', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    ...modules,
  ])
}

export interface Announcement {
  readonly ref: number
  readonly port: number
}

export function announcement(xenstore: Xenstore, domid: number, signal?: AbortSignal): Promise<Announcement> {
  return xenstore.waitFor(
    `/local/domain/${domid}/data/bulkhead`,
    (value) => {
      const [version, ref, port] = (value ?? '').split(' ').map(Number)
      return version === 1 && ref !== undefined && port !== undefined ? { ref, port } : undefined
    },
    { signal },
  )
}

/** The guest's channel with what its frames bring, in order, to be awaited. */
export class RingPeer {
  readonly closed: Promise<Error>
  onData: (payload: Uint8Array) => void = () => {}
  /** Called when the ring toward the guest has no room. */
  onFull: () => void = () => {}
  readonly #frames: Frame[] = []
  #ring: ChannelRing | undefined
  #arrived = Promise.withResolvers<void>()
  #writable = Promise.withResolvers<void>()
  readonly #close: (error: Error) => void

  private constructor() {
    const { promise, resolve } = Promise.withResolvers<Error>()
    this.closed = promise
    this.#close = resolve
  }

  static async attach(rings: RingWorker, domid: number, { ref, port }: Announcement): Promise<RingPeer> {
    const peer = new RingPeer()
    peer.#ring = await rings.attachChannel({
      domid: domainId(domid),
      ref,
      port,
      onFrames: (frames) => peer.#take(frames),
      onWritable: () => peer.#writable.resolve(),
      onClosed: (error) => peer.#close(error),
    })
    return peer
  }

  get ring(): ChannelRing {
    if (this.#ring === undefined) throw new Error('not attached')
    return this.#ring
  }

  /** Sends when there is room; how often it had to wait. */
  async send(type: number, payload: Uint8Array): Promise<number> {
    for (let waits = 0; ; waits++) {
      this.#writable = Promise.withResolvers()
      if (this.ring.send({ type, stream: 0, container: 0, payload })) return waits
      this.onFull()
      await this.#writable.promise
    }
  }

  /** The next frame that is not `data`. */
  async next(): Promise<Frame> {
    for (;;) {
      const frame = this.#frames.shift()
      if (frame !== undefined) return frame
      this.#arrived = Promise.withResolvers()
      await this.#arrived.promise
    }
  }

  #take(frames: readonly Frame[]): void {
    for (const frame of frames) {
      if (frame.type === TYPE.data) this.onData(frame.payload)
      else this.#frames.push(frame)
    }
    this.#arrived.resolve()
  }
}

export function words(...values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer)
}

/** Destroys the guest and removes its nodes; resolves when the hypervisor has no such domain any more. */
export async function removeRingGuest({ uuid, domid }: RunningGuest, xenstore: Xenstore): Promise<void> {
  using hypervisor = openHypervisor()
  await using released = await xenstore.watch('@releaseDomain')
  await hypervisor.destroy(domainId(domid))
  await removeDomainNodes(xenstore, { domid, uuid, disks: [], interfaces: [] })
  for await (const _changed of released) {
    if (hypervisor.domain(domid)?.uuid !== uuid) return
  }
}
