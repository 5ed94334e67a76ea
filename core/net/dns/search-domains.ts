// The domains in which a guest looks for names without a dot: the guests' own zone, so that they find each other by name
// alone, then the host's, so that what is found on the host is found in its guests. The guest applies them, never we.
import { readResolvConf } from './resolv-conf.ts'

/** What the host searches now; none where its settings cannot be read. */
export function hostSearchDomains(): readonly string[] {
  try {
    return readResolvConf().search
  } catch {
    // The forwarder reads the same file and tells of it.
    return []
  }
}

/** `own`: what was asked for this guest, which then is all. */
export function searchDomains(
  own: readonly string[],
  zone: string,
  ofHost: readonly string[],
): readonly string[] {
  return own.length > 0 ? own : [zone, ...ofHost.filter((domain) => domain !== zone)]
}
