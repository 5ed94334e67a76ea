// Loop devices of root images: one for each image, shared read-only by all guests that run from it.
import {
  attachLoopDevice,
  backingFileOf,
  detachLoopDevice,
  type LoopDevice,
  listLoopDevices,
} from '../sys/loop-device.ts'

interface Shared {
  readonly device: LoopDevice
  readonly users: Set<string>
}

export class LoopPool {
  readonly #byPath = new Map<string, Shared>()

  /** The device of `path` for `user`, attached if it is not yet. */
  acquire(path: string, user: string): LoopDevice {
    const shared = this.#byPath.get(path)
    if (shared !== undefined) {
      shared.users.add(user)
      return shared.device
    }
    const device = attachLoopDevice({ path, access: 'read-only' })
    this.#byPath.set(path, { device, users: new Set([user]) })
    return device
  }

  /** The device of `path`, where some guest uses it. */
  deviceOf(path: string): LoopDevice | undefined {
    return this.#byPath.get(path)?.device
  }

  /** Takes over a device that an earlier core host attached; false where it is not there any more. */
  adopt(path: string, number: number, user: string): boolean {
    const shared = this.#byPath.get(path)
    if (shared !== undefined) {
      shared.users.add(user)
      return true
    }
    const backing = backingFileOf(path)
    const device = listLoopDevices().find((listed) => listed.number === number)
    if (device === undefined || backing === undefined || device.backing.inode !== backing.inode) return false
    this.#byPath.set(path, { device, users: new Set([user]) })
    return true
  }

  /** Gives `user`'s share back; the device is freed with the last one. */
  release(path: string, user: string): void {
    const shared = this.#byPath.get(path)
    if (shared === undefined) return
    shared.users.delete(user)
    if (shared.users.size > 0) return
    this.#byPath.delete(path)
    detachLoopDevice(shared.device)
  }

  /** Frees devices of files below `folder` that nobody uses: left by a core host that was killed. */
  freeOrphans(folder: string): number {
    const used = new Set([...this.#byPath.values()].map(({ device }) => device.number))
    const orphans = listLoopDevices().filter(
      ({ number, backingPath }) => backingPath.startsWith(`${folder}/`) && !used.has(number),
    )
    for (const device of orphans) detachLoopDevice(device)
    return orphans.length
  }
}
