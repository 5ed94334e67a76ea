// Which xenstore paths are well-formed, checked on our side so that a mistake names itself.
// Source: is_valid_nodename() of tools/xenstore/xenstored_core.c, stable-4.17.
import type { DomainId } from '../domain-id.ts'
import { XenError } from '../errors.ts'

// XENSTORE_ABS_PATH_MAX
const MAX_PATH_CHARACTERS = 3072
const pathPattern = /^(\/|(\/[A-Za-z0-9_@-]+)+)$/
const eventPattern = /^@[A-Za-z]+(\/[0-9]+)?$/

/** Returns the path. Throws XenError when xenstored would refuse it. */
export function checkPath(path: string): string {
  if (path.length > MAX_PATH_CHARACTERS || !pathPattern.test(path)) throw badPath(path)
  return path
}

/** As `checkPath()`, and `@introduceDomain`, `@releaseDomain` too. */
export function checkWatchPath(path: string): string {
  return eventPattern.test(path) ? path : checkPath(path)
}

function badPath(path: string): XenError {
  return new XenError(
    'xenstore-protocol',
    `Cannot use ${JSON.stringify(path.slice(0, 200))} as a xenstore path: it must be absolute, of letters, digits, - / _ @`,
  )
}

/** `/local/domain/<domid>` */
export function domainPath(domid: DomainId): string {
  return `/local/domain/${domid}`
}
