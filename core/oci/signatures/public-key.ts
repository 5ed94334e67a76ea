// Public keys that sign images: PEM SubjectPublicKeyInfo (RFC 7468 §13), of the kinds that cosign makes and reads
// (sigstore pkg/cryptoutils/publickey.go and algorithm-registry.md). Keys that are too weak to say anything are refused.

import { constants, createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'
import { OciError } from '../errors.ts'

/** One way to check a signature: ECDSA and RSA need a hash, Ed25519 brings its own. */
interface Scheme {
  readonly hash: 'sha256' | 'sha384' | 'sha512' | undefined
  readonly padding?: number | undefined
}

export interface PublicKey {
  /** SHA-256 of the key as DER SubjectPublicKeyInfo, in hex digits. */
  readonly id: string
  /** For people: `ECDSA P-256`, `RSA 3072`. */
  readonly kind: string
  readonly object: KeyObject
  readonly schemes: readonly Scheme[]
}

type Suitability = Pick<PublicKey, 'kind' | 'schemes'> | { readonly fault: string }

const PEM = /^\s*-----BEGIN PUBLIC KEY-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END PUBLIC KEY-----\s*$/
/** Enough for RSA 8192 in PEM many times over. */
const LONGEST_PEM = 16 * 1024

/** cosign up to 2 hashes with SHA-256 on every curve, as skopeo does; later ones with the hash that fits the curve. */
const CURVES: Readonly<Record<string, { readonly name: string; readonly schemes: readonly Scheme[] }>> = {
  prime256v1: { name: 'P-256', schemes: [{ hash: 'sha256' }] },
  secp384r1: { name: 'P-384', schemes: [{ hash: 'sha384' }, { hash: 'sha256' }] },
  secp521r1: { name: 'P-521', schemes: [{ hash: 'sha512' }, { hash: 'sha256' }] },
}

const RSA_SCHEMES: readonly Scheme[] = [
  { hash: 'sha256', padding: constants.RSA_PKCS1_PADDING },
  { hash: 'sha256', padding: constants.RSA_PKCS1_PSS_PADDING },
]
const RSA_BITS = { least: 2048, most: 8192 } as const
const LEAST_RSA_EXPONENT = 65537n

/**
 * Reads one public key in PEM. Throws `oci.bad-key` for anything else (a private key, a certificate, two keys), for
 * kinds that cosign does not sign with, and for weak ones.
 */
export function parsePublicKey(pem: string): PublicKey {
  const base64 = pem.length > LONGEST_PEM ? undefined : PEM.exec(pem)?.[1]
  if (base64 === undefined) throw badKey('it is not one block of PEM that begins with "BEGIN PUBLIC KEY"')
  let object: KeyObject
  let der: Buffer
  try {
    object = createPublicKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'spki' })
    der = object.export({ format: 'der', type: 'spki' })
  } catch (error) {
    throw badKey('what is in the PEM block is not a public key', error)
  }
  const suitability = judge(object)
  if ('fault' in suitability) throw badKey(suitability.fault)
  return { id: createHash('sha256').update(der).digest('hex'), ...suitability, object }
}

/** Whether the signature of the message was made with this key, by any of the schemes that its kind is used with. */
export function isSignedBy(key: PublicKey, message: Uint8Array, signature: Uint8Array): boolean {
  return key.schemes.some(({ hash, padding }) => {
    const how = padding === undefined ? key.object : { key: key.object, padding }
    try {
      return verify(hash ?? null, message, how, signature)
    } catch {
      // OpenSSL throws at some malformed signatures instead of saying no.
      return false
    }
  })
}

function judge(object: KeyObject): Suitability {
  const { namedCurve, modulusLength, publicExponent } = object.asymmetricKeyDetails ?? {}
  switch (object.asymmetricKeyType) {
    case 'ed25519':
      return { kind: 'Ed25519', schemes: [{ hash: undefined }] }
    case 'ec': {
      const curve = Object.hasOwn(CURVES, namedCurve ?? '') ? CURVES[namedCurve ?? ''] : undefined
      if (curve === undefined) return { fault: `its curve is not ${andList(CURVE_NAMES)}` }
      return { kind: `ECDSA ${curve.name}`, schemes: curve.schemes }
    }
    case 'rsa':
      if (modulusLength === undefined || modulusLength < RSA_BITS.least)
        return {
          fault: `an RSA key of ${modulusLength ?? 0} bits is too weak, ${RSA_BITS.least} are the least`,
        }
      if (modulusLength > RSA_BITS.most) return { fault: `an RSA key of ${modulusLength} bits is too long` }
      if (publicExponent === undefined || publicExponent < LEAST_RSA_EXPONENT || publicExponent % 2n === 0n)
        return { fault: `an RSA key with the exponent ${publicExponent ?? 0} is too weak` }
      return { kind: `RSA ${modulusLength}`, schemes: RSA_SCHEMES }
    default:
      return { fault: `keys of the kind "${object.asymmetricKeyType ?? 'unknown'}" do not sign images` }
  }
}

const CURVE_NAMES = Object.values(CURVES).map(({ name }) => name)

function andList(names: readonly string[]): string {
  return `${names.slice(0, -1).join(', ')} or ${names.at(-1) ?? ''}`
}

function badKey(reason: string, cause?: unknown): OciError {
  return new OciError('oci.bad-key', `Cannot use the public key: ${reason}`, {
    hint: 'Give ECDSA (P-256, P-384, P-521), Ed25519 or RSA keys (2048 bits or more) as cosign writes them to cosign.pub.',
    cause,
  })
}
