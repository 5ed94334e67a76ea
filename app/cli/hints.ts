// What to do about a failure, in the words of this command where they are better than the core host's own: it does
// not know who talks to it.
import type { BulkheadError } from '../../core/errors.ts'

export function hintOf({ code, hint, data }: BulkheadError): string | undefined {
  if (code === 'oci.tls' && hint !== undefined)
    return `${hint}\nOptions: --plain-http, --ca-file FILE, --client-cert FILE with --client-key FILE.`
  const host = data?.host
  if (typeof host !== 'string' || !/^[\w.:[\]-]+$/.test(host)) return hint
  const login = /(^|\.)docker\.io$/.test(host) ? 'bulkhead login' : `bulkhead login ${host}`
  switch (code) {
    case 'oci.auth-required':
      return `Log in with "${login}", or check the name.`
    case 'oci.realm-not-trusted':
      return `They were not sent. If ${host} belongs to the registry, say so with --trust-realm ${host}.`
    default:
      return hint
  }
}
