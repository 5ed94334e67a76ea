// The initrd as the guest sees it: parts one after another, each begun at a multiple of 4 bytes, because
// Linux looks for the next archive only there (init/initramfs.c, unpack_to_rootfs).

import { addressOf, copyMemory, fillMemory } from '../../sys/libc.ts'
import { BuildError } from './build-error.ts'
import type { InitrdPart } from './build-spec.ts'
import type { MappedFiles } from './mapped-files.ts'

const PART_ALIGNMENT = 4
/** Linux unpacks it into the guest's memory: more than this is a mistake. */
const MAX_INITRD_BYTES = 2 ** 30

interface PlacedPart {
  readonly offset: number
  readonly sizeBytes: number
  readonly address: number
}

/** Parts opened and measured once, so that what was laid out is what is copied. */
export class InitrdSource implements Disposable {
  readonly sizeBytes: number
  readonly #parts: readonly PlacedPart[]
  readonly #leases = new DisposableStack()
  /** Keeps what `address` points to alive. */
  readonly #sources: readonly InitrdPart[]

  constructor(sources: readonly InitrdPart[], files: MappedFiles) {
    this.#sources = sources
    let offset = 0
    try {
      this.#parts = this.#sources.map((source) => {
        const { address, sizeBytes } =
          'bytes' in source ? locate(source.bytes) : this.#leases.use(files.lease(source.path))
        const part = { offset, sizeBytes, address }
        offset = roundUp(offset + sizeBytes)
        return part
      })
      if (offset > MAX_INITRD_BYTES) {
        throw new BuildError(
          'invalid-request',
          `Cannot build domain: the initrd has ${offset} bytes, the limit is ${MAX_INITRD_BYTES}`,
        )
      }
    } catch (error) {
      this.#leases.dispose()
      throw error
    }
    this.sizeBytes = offset
  }

  /** Copies all of it to `address`, and zeros up to `areaBytes`. */
  copyTo(address: number, areaBytes: number): void {
    let end = 0
    for (const part of this.#parts) {
      fillMemory(address + end, 0, part.offset - end)
      copyMemory(address + part.offset, part.address, part.sizeBytes)
      end = part.offset + part.sizeBytes
    }
    fillMemory(address + end, 0, areaBytes - end)
  }

  [Symbol.dispose](): void {
    this.#leases.dispose()
  }
}

function locate(bytes: Uint8Array<ArrayBuffer>): { address: number; sizeBytes: number } {
  return { address: addressOf(bytes.buffer) + bytes.byteOffset, sizeBytes: bytes.length }
}

function roundUp(offset: number): number {
  return Math.ceil(offset / PART_ALIGNMENT) * PART_ALIGNMENT
}
