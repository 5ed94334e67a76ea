// Writes a "newc" cpio archive, the format of Linux's initramfs
// (Linux Documentation/driver-api/early-userspace/buffer-format.rst). Everything belongs to root, so no root is needed.

export interface CpioEntry {
  /** Path without a leading slash. */
  readonly path: string
  /** File type and permission bits, such as 0o100755. */
  readonly mode: number
  /** A file's bytes or a symbolic link's target. */
  readonly content?: Uint8Array | string
  /** Device number of a device node. */
  readonly device?: { readonly major: number; readonly minor: number }
}

/** The archive of `entries`, in their order; parents have to come before their children. */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Buffer[] = []
  for (const [index, entry] of [...entries, { path: 'TRAILER!!!', mode: 0 }].entries()) {
    const content = Buffer.from(entry.content ?? '')
    const name = Buffer.from(`${entry.path}\0`)
    const fields = [
      ...[index + 1, entry.mode, 0, 0, 1, 0, content.length, 0, 0],
      ...[entry.device?.major ?? 0, entry.device?.minor ?? 0, name.length, 0],
    ]
    const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`)
    parts.push(pad(Buffer.concat([header, name])), pad(content))
  }
  return Buffer.concat(parts)
}

function pad(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)])
}
