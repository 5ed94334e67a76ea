// The two scripts that every page of the stand-in gets before its own: the isolated world with the app's preload,
// and the main-world half of contextBridge.
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'

export const isolatedWorldName = 'bulkhead-preload'
/** The binding that only the isolated world sees. */
export const bindingName = '__bulkheadStandin'

export interface PageScripts {
  readonly isolated: string
  readonly main: string
}

/** Both scripts for one window; they find each other by event names that no page can guess. */
export async function pageScripts(preloadPath: string | undefined): Promise<PageScripts> {
  const read = (name: string) => readFile(new URL(name, import.meta.url), 'utf8')
  const [codecSource, isolatedSource, mainSource, preload] = await Promise.all([
    read('./clone-codec.ts'),
    read('./page/isolated-world.js'),
    read('./page/main-world.js'),
    preloadPath === undefined ? '' : readFile(preloadPath, 'utf8'),
  ])
  const codec = stripTypeScriptTypes(codecSource).replaceAll(/^export /gm, '')
  const secret = JSON.stringify(`standin-${randomUUID()}-`)
  const wrap = (...parts: string[]) => `(() => {\nconst SECRET = ${secret}\n${parts.join('\n')}\n})()`
  return {
    isolated: wrap(codec, `const PRELOAD = (require, module, exports) => {\n${preload}\n}`, isolatedSource),
    main: wrap(mainSource),
  }
}
