// The pages of the app as responses: files below one folder, with the headers that confine them.
import { readFile } from 'node:fs/promises'
import { extname, join, normalize, sep } from 'node:path'

/** `unsafe-inline` styles are what xterm's DOM renderer writes; everything else comes from the app's own files. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ')

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
}

/** Path of the file for an address of the app, or undefined where it would leave `root`. */
export function filePath(root: string, url: string): string | undefined {
  const { pathname } = new URL(url)
  let decoded: string
  try {
    decoded = decodeURIComponent(pathname)
  } catch {
    return undefined
  }
  if (decoded.includes('\0')) return undefined
  const path = normalize(join(root, decoded === '/' ? 'index.html' : decoded))
  return path.startsWith(root + sep) ? path : undefined
}

/** Answers a request for one of the app's pages. */
export async function pageResponse(root: string, url: string): Promise<Response> {
  const headers = {
    'content-security-policy': contentSecurityPolicy,
    'x-content-type-options': 'nosniff',
    'cross-origin-opener-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
  }
  const path = filePath(root, url)
  const contentType = path === undefined ? undefined : contentTypes[extname(path)]
  if (path === undefined || contentType === undefined) return new Response(null, { status: 404, headers })
  try {
    const body = await readFile(path)
    return new Response(new Uint8Array(body), { headers: { ...headers, 'content-type': contentType } })
  } catch {
    return new Response(null, { status: 404, headers })
  }
}
