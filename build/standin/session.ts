// session.defaultSession: the permission handlers, and their enforcement: each permission that Chromium knows is
// asked of the app's handlers and set to what they say (electron docs/api/session.md).
import type { CDPSession } from 'playwright-core'
import { onControl } from './control.ts'
import type { WebContents } from './web-contents.ts'

type RequestHandler = (
  contents: WebContents,
  permission: string,
  callback: (granted: boolean) => void,
  details: { requestingUrl: string; isMainFrame: boolean },
) => void
type CheckHandler = (
  contents: WebContents | null,
  permission: string,
  origin: string,
  details: { isMainFrame: boolean },
) => boolean

/** Electron's name of each permission, and Chromium's of what it covers. */
const permissions = [
  ['clipboard-read', 'clipboard-read'],
  ['clipboard-sanitized-write', 'clipboard-write'],
  ['geolocation', 'geolocation'],
  ['notifications', 'notifications'],
  ['media', 'microphone'],
  ['media', 'camera'],
  ['midi', 'midi'],
  ['idle-detection', 'idle-detection'],
  ['window-management', 'window-management'],
  ['storage-access', 'storage-access'],
] as const

let requestHandler: RequestHandler | undefined
let checkHandler: CheckHandler | undefined
let deviceHandler: ((details: unknown) => boolean) | undefined

export const session = {
  defaultSession: {
    setPermissionRequestHandler(handler: RequestHandler | null): void {
      requestHandler = handler ?? undefined
    },
    setPermissionCheckHandler(handler: CheckHandler | null): void {
      checkHandler = handler ?? undefined
    },
    setDevicePermissionHandler(handler: ((details: unknown) => boolean) | null): void {
      deviceHandler = handler ?? undefined
    },
  },
}

/** Electron grants what no handler refuses. */
function isGranted(contents: WebContents, permission: string, url: string): boolean {
  const { protocol, host } = new URL(url)
  // Electron gives the origin as an address with a slash at its end.
  const isChecked = checkHandler?.(contents, permission, `${protocol}//${host}/`, { isMainFrame: true })
  if (isChecked === false) return false
  let granted = requestHandler === undefined
  const onAnswer = (answer: boolean): void => {
    granted = answer
  }
  requestHandler?.(contents, permission, onAnswer, { requestingUrl: url, isMainFrame: true })
  return granted
}

/** Sets each permission of `origin` (Chromium's) to the app's word for the page at `url` (the app's). */
export async function enforcePermissions(
  cdp: CDPSession,
  contents: WebContents,
  page: { readonly url: string; readonly chromiumOrigin: string },
): Promise<void> {
  for (const [permission, name] of permissions) {
    const setting = isGranted(contents, permission, page.url) ? 'granted' : 'denied'
    await cdp.send('Browser.setPermission', {
      permission: { name },
      setting,
      origin: page.chromiumOrigin,
    })
  }
}

onControl('session.deviceAllowed', (details) => deviceHandler?.(details) ?? true)
