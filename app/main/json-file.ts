// Small files of the app's own: settings and the window's place. Written whole, beside the old one, then renamed,
// so that a crash leaves one of the two.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** The object in the file; an empty one where there is no file or no object in it. */
export function readJsonFile(path: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
  } catch {
    return {}
  }
}

/** Replaces the file. */
export function writeJsonFile(path: string, value: Readonly<Record<string, unknown>>): void {
  mkdirSync(dirname(path), { recursive: true })
  const fresh = `${path}.new`
  writeFileSync(fresh, `${JSON.stringify(value, null, 2)}\n`, { flush: true, mode: 0o600 })
  renameSync(fresh, path)
}
