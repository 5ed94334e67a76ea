// /dev/xen/gntdev: mapping pages that a guest has granted to dom0. Source: Linux, include/uapi/xen/gntdev.h.
import { constants } from 'node:fs'
import type { FileDescriptor } from '../sys/file-descriptor.ts'
import { ioctl } from '../sys/libc.ts'
import { type MemoryMapping, mapMemory } from '../sys/memory-mapping.ts'
import { allocateNativeMemory } from '../sys/native-memory.ts'
import { size, structLayout, u32 } from '../sys/struct-layout.ts'
import type { DomainId } from './domain-id.ts'
import { asXenError } from './errors.ts'
import { openXenDevice } from './hypercalls.ts'
import { PAGE_SIZE } from './privcmd.ts'

const IOCTL_GNTDEV_MAP_GRANT_REF = 0x00184700
const IOCTL_GNTDEV_UNMAP_GRANT_REF = 0x00104701
const IOCTL_GNTDEV_SET_UNMAP_NOTIFY = 0x00104707
const UNMAP_NOTIFY_CLEAR_BYTE = 1
const UNMAP_NOTIFY_SEND_EVENT = 2

const mapGrantRef = structLayout('struct ioctl_gntdev_map_grant_ref', 16, { count: u32(0), index: size(8) })
const grantRef = structLayout('struct ioctl_gntdev_grant_ref', 8, { domain: u32(0), ref: u32(4) })
const unmapGrantRef = structLayout('struct ioctl_gntdev_unmap_grant_ref', 16, {
  index: size(0),
  count: u32(8),
})
const unmapNotify = structLayout('struct ioctl_gntdev_unmap_notify', 16, {
  index: size(0),
  action: u32(8),
  port: u32(12),
})

export interface GrantMapping extends Disposable {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly buffer: ArrayBuffer
  /**
   * Has the kernel clear the byte at `offset` and send an event through the local port when the mapping ends,
   * be it that this process is killed.
   */
  notifyOnUnmap(offset: number, localPort: number): void
}

export class GrantDevice implements Disposable {
  readonly #device: FileDescriptor

  constructor() {
    this.#device = openXenDevice('/dev/xen/gntdev', constants.O_RDWR)
  }

  /**
   * Maps granted pages one after another, readable and writable. Throws XenError `attach-failed` when the
   * domain did not grant one of them. Careful: the domain's memory stays until the mapping is disposed.
   */
  map(domid: DomainId, refs: readonly number[]): GrantMapping {
    const { fd } = this.#device
    const action = () => `map ${refs.length} granted pages of domain ${domid}`
    const request = allocateNativeMemory(mapGrantRef.sizeBytes + refs.length * grantRef.sizeBytes)
    const fields = mapGrantRef.at(request.view)
    fields.count = refs.length
    refs.forEach((ref, position) => {
      const entry = grantRef.at(request.view, mapGrantRef.sizeBytes + position * grantRef.sizeBytes)
      entry.domain = domid
      entry.ref = ref
    })
    try {
      ioctl(fd, IOCTL_GNTDEV_MAP_GRANT_REF, request.address, action)
    } catch (error) {
      throw asXenError(error, 'attach-failed')
    }
    const { index } = fields
    let mapping: MemoryMapping
    try {
      mapping = mapMemory({ fd, sizeBytes: refs.length * PAGE_SIZE, offset: index }, action)
    } catch (error) {
      forget(fd, index, refs.length)
      throw asXenError(error, 'attach-failed')
    }
    return {
      bytes: mapping.bytes,
      buffer: mapping.buffer,
      notifyOnUnmap(offset, localPort) {
        const notification = allocateNativeMemory(unmapNotify.sizeBytes)
        const values = unmapNotify.at(notification.view)
        values.index = index + offset
        values.action = UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT
        values.port = localPort
        ioctl(fd, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, notification.address, 'prepare for the end of a mapping')
      },
      [Symbol.dispose]() {
        if (mapping.isUnmapped) return
        mapping[Symbol.dispose]()
        forget(fd, index, refs.length)
      },
    }
  }

  [Symbol.dispose](): void {
    this.#device[Symbol.dispose]()
  }
}

function forget(fd: number, index: number, count: number): void {
  const request = allocateNativeMemory(unmapGrantRef.sizeBytes)
  const fields = unmapGrantRef.at(request.view)
  fields.index = index
  fields.count = count
  ioctl(fd, IOCTL_GNTDEV_UNMAP_GRANT_REF, request.address, 'give granted pages back')
}
