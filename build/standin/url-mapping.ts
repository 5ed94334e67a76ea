// Chromium knows no schemes but its own, so the stand-in serves `app://bulkhead/x` as
// `http://bulkhead.app.localhost/x` (a secure context, and never looked up) and translates at every border: the
// app sees only its own addresses.

const suffix = (scheme: string) => `.${scheme}.localhost`

/** The address Chromium is sent to for one of the app's own; others stay as they are. */
export function toChromium(url: string, schemes: Iterable<string>): string {
  for (const scheme of schemes) {
    if (!url.startsWith(`${scheme}://`)) continue
    const { host, pathname, search, hash } = new URL(url.replace(`${scheme}://`, 'http://'))
    return `http://${host}${suffix(scheme)}${pathname}${search}${hash}`
  }
  return url
}

/** The address as the app knows it, for one that Chromium speaks of. */
export function fromChromium(url: string, schemes: Iterable<string>): string {
  for (const scheme of schemes) {
    const parsed = URL.canParse(url) ? new URL(url) : undefined
    if (parsed?.protocol !== 'http:' || !parsed.hostname.endsWith(suffix(scheme))) continue
    const host = parsed.hostname.slice(0, -suffix(scheme).length)
    return `${scheme}://${host}${parsed.pathname}${parsed.search}${parsed.hash}`
  }
  return url
}

/** What `Fetch.enable` takes to stop the requests of one scheme. */
export const requestPattern = (scheme: string): string => `http://*${suffix(scheme)}/*`
