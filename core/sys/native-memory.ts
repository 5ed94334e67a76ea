// Memory with a fixed address for the arguments of system calls: an ArrayBuffer of its own lies outside of
// V8's moving heap, so its address holds for as long as the object is reachable.
import { type Address, addressOf } from './libc.ts'

/** Zeroed memory at `address`, readable through `bytes` and `view`; keep the object while C uses the address. */
export interface NativeMemory {
  readonly address: Address
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly view: DataView<ArrayBuffer>
}

export function allocateNativeMemory(sizeBytes: number): NativeMemory {
  const buffer = new ArrayBuffer(sizeBytes)
  return { address: addressOf(buffer), bytes: new Uint8Array(buffer), view: new DataView(buffer) }
}
