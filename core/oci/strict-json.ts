// JSON from registries and archives. Two readers of one document must not see two things (CVE-2021-41190), so a key
// that occurs twice in an object is refused where JSON.parse would keep the last one in silence.

import { OciError } from './errors.ts'
import { LIMITS } from './limits.ts'

/** Parses UTF-8 JSON. `what` names the document in errors. Throws `oci.corrupt-image`, or `oci.limit` on nesting. */
export function parseStrictJson(bytes: Uint8Array, what: string): unknown {
  let text: string
  let value: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    value = JSON.parse(text)
  } catch (error) {
    throw new OciError('oci.corrupt-image', `Cannot read ${what}: it is not valid JSON`, { cause: error })
  }
  const key = duplicateKey(text, what)
  if (key === undefined) return value
  throw new OciError('oci.corrupt-image', `Cannot read ${what}: the key "${key}" occurs twice in one object`)
}

/** Tokens of a text that JSON.parse accepted: strings, and the punctuation that matters here. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\]:]/g

/** A key that occurs twice in one object of a text that JSON.parse accepts. Throws `oci.limit` on nesting. */
export function duplicateKey(text: string, what: string): string | undefined {
  // One entry for each open object (its keys so far) or array (undefined).
  const open: (Set<string> | undefined)[] = []
  let lastString: string | undefined
  for (const [token] of text.matchAll(TOKEN)) {
    if (token.startsWith('"')) {
      lastString = token
    } else if (token === '{' || token === '[') {
      open.push(token === '{' ? new Set() : undefined)
      if (open.length > LIMITS.jsonDepth) {
        throw new OciError(
          'oci.limit',
          `Cannot read ${what}: it is nested deeper than ${LIMITS.jsonDepth} levels`,
          {
            data: { which: 'jsonDepth' },
          },
        )
      }
    } else if (token === '}' || token === ']') {
      open.pop()
    } else if (token === ':' && lastString !== undefined) {
      const keys = open.at(-1)
      const key: string = JSON.parse(lastString)
      if (keys?.has(key) === true) return key
      keys?.add(key)
    }
  }
  return undefined
}
