// Serves the app's pages under app://bulkhead.
import { protocol } from 'electron'
import { appScheme } from '../navigation-rule.ts'
import { pageResponse } from '../page-files.ts'

/** Must run before the app is ready. */
export function registerPageScheme(): void {
  protocol.registerSchemesAsPrivileged([
    {
      scheme: appScheme,
      privileges: { standard: true, secure: true, supportFetchAPI: true, codeCache: true },
    },
  ])
}

/** Must run after the app is ready. `root`: the folder of the built renderer. */
export function servePages(root: string): void {
  protocol.handle(appScheme, (request) => pageResponse(root, request.url))
}
