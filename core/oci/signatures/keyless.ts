// Signatures made without a key of one's own: the signer proves an identity to a certificate authority and signs with a
// key that lives for minutes. Checking these needs that authority's and a log's roots of trust, which we do not have.

import { X509Certificate } from 'node:crypto'

const LONGEST_NAME = 200

/** Why a signature by certificate does not count. `certificate` is PEM text or DER; only its own claim is shown. */
export function certificateInWords(certificate: string | Uint8Array): string {
  return `it was signed without a key: by a certificate${namesOf(certificate)}; not supported`
}

function namesOf(certificate: string | Uint8Array): string {
  try {
    const names = new X509Certificate(certificate).subjectAltName
    return names === undefined ? '' : ` for ${names.slice(0, LONGEST_NAME)}`
  } catch {
    return ' that cannot be read'
  }
}
