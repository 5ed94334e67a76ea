// Who may call the main process: the main frame of one of our windows, showing one of our pages. Electron's
// security checklist, point 17 (docs/tutorial/security.md).
import { isAppUrl } from './navigation-rule.ts'

export interface Sender {
  /** Undefined where the frame is gone by the time its message is looked at. */
  readonly frameUrl: string | undefined
  readonly isMainFrame: boolean
  readonly isOurWindow: boolean
}

export function isTrustedSender({ frameUrl, isMainFrame, isOurWindow }: Sender): boolean {
  return isOurWindow && isMainFrame && frameUrl !== undefined && isAppUrl(frameUrl)
}
