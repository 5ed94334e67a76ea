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

/** Electron's name of each permission, and Chromium's descriptor of it. */
const permissions = {
  'clipboard-read': { name: 'clipboard-read' },
  'clipboard-sanitized-write': { name: 'clipboard-write' },
  geolocation: { name: 'geolocation' },
  notifications: { name: 'notifications' },
  media: { name: 'microphone' },
  midi: { name: 'midi' },
  'idle-detection': { name: 'idle-detection' },
  'window-management': { name: 'window-management' },
  'storage-access': { name: 'storage-access' },
} as const

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
  if (checkHandler?.(contents, permission, new URL(url).origin, { isMainFrame: true }) === false) return false
  let granted = requestHandler === undefined
  requestHandler?.(
    contents,
    permission,
    (answer) => {
      granted = answer
    },
    { requestingUrl: url, isMainFrame: true },
  )
  return granted
}

/** Sets each permission of `origin` (Chromium's) to the app's word for the page at `url` (the app's). */
export async function enforcePermissions(
  cdp: CDPSession,
  contents: WebContents,
  page: { readonly url: string; readonly chromiumOrigin: string },
): Promise<void> {
  for (const [permission, descriptor] of Object.entries(permissions)) {
    const setting = isGranted(contents, permission, page.url) ? 'granted' : 'denied'
    await cdp.send('Browser.setPermission', {
      permission: { ...descriptor },
      setting,
      origin: page.chromiumOrigin,
    })
  }
}

onControl('session.deviceAllowed', (details) => deviceHandler?.(details) ?? true)
