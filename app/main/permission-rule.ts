// What a page may have of the web's permissions: the clipboard, nothing else.
import { isAppUrl } from './navigation-rule.ts'

const allowed: ReadonlySet<string> = new Set(['clipboard-read', 'clipboard-sanitized-write'])

/** `url`: the page that asks, or its origin. */
export function isPermitted(permission: string, url: string): boolean {
  return allowed.has(permission) && isAppUrl(url)
}
