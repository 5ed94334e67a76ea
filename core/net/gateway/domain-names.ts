// Search domains as the wire has them: each name as labels with their lengths, ended by an empty one (RFC 1035 §3.1), not
// compressed, which RFC 8106 §5.2 demands and RFC 3397 §2 allows.

const MAX_LABEL_BYTES = 63
const MAX_NAME_BYTES = 255

/** The names that can be written so, one after the other; others are left out. */
export function encodeDomainNames(names: readonly string[]): Uint8Array {
  const encoded: number[] = []
  for (const name of names) {
    const labels = name.replace(/\.$/, '').split('.')
    const bytes = labels.flatMap((label) => [label.length, ...Buffer.from(label, 'latin1')])
    if (labels.some((label) => !/^[\w-]+$/.test(label) || label.length > MAX_LABEL_BYTES)) continue
    if (bytes.length + 1 > MAX_NAME_BYTES) continue
    encoded.push(...bytes, 0)
  }
  return Uint8Array.from(encoded)
}
