// A domain's number and its UUID. The number is reused after a domain's end: the UUID is the identity.

declare const domainIdBrand: unique symbol

/** A domain's number, 0 to 0x7fef (`xen/include/public/xen.h`, DOMID_FIRST_RESERVED). */
export type DomainId = number & { readonly [domainIdBrand]: true }

const DOMID_FIRST_RESERVED = 0x7ff0

/** Checks a number. Throws RangeError for what cannot be a domain. */
export function domainId(value: number): DomainId {
  if (!Number.isInteger(value) || value < 0 || value >= DOMID_FIRST_RESERVED) {
    throw new RangeError(`${value} is not a domain id (0 to ${DOMID_FIRST_RESERVED - 1})`)
  }
  return value as DomainId
}

export const DOM0: DomainId = domainId(0)

/** Stands for the calling domain in hypercalls. */
export const DOMID_SELF = 0x7ff0

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** The 16 bytes of a UUID in the order they are written (xen_domain_handle_t). Throws RangeError. */
export function uuidToBytes(uuid: string): Uint8Array<ArrayBuffer> {
  if (!uuidPattern.test(uuid)) throw new RangeError(`"${uuid}" is not a UUID in lower case`)
  return Uint8Array.from(Buffer.from(uuid.replaceAll('-', ''), 'hex'))
}

/** A UUID in lower case from its 16 bytes. */
export function uuidFromBytes(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    '-',
  )
}
