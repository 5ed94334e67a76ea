// Names for built files: the same ingredients give the same name, so nothing is built twice and nothing stale is used.

import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

/** Sixteen hex digits over the JSON of `ingredients`. */
export function contentKey(ingredients: unknown): string {
  return createHash('sha256').update(JSON.stringify(ingredients)).digest('hex').slice(0, 16)
}

/** Sixteen hex digits over the names, modes and bytes of every file under `folders`, in a stable order. */
export function folderKey(folders: readonly string[]): string {
  const hash = createHash('sha256')
  const visit = (path: string, name: string) => {
    const stat = lstatSync(path)
    hash.update(`${name}\0${stat.mode}\0`)
    if (stat.isDirectory()) {
      for (const child of readdirSync(path).sort()) visit(join(path, child), `${name}/${child}`)
    } else if (stat.isSymbolicLink()) {
      hash.update(readlinkSync(path))
    } else {
      hash.update(readFileSync(path))
    }
  }
  folders.forEach((folder, index) => {
    visit(folder, String(index))
  })
  return hash.digest('hex').slice(0, 16)
}
