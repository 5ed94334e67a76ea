// A forecast made while layers are read from the top down: which files of a lower layer will be hidden in the end, so
// that their content need not be compressed. It looks at paths as written, without following symbolic links, and may be
// wrong both ways: the merge decides afterwards, fetches what was left out and leaves unused what was in vain.

import type { ByteString } from '../layer/byte-string.ts'
import type { TarEntry } from '../layer/tar-entry.ts'
import { entryNames } from './entry-path.ts'
import { entryRole } from './whiteout.ts'

export class ShadowedPaths {
  /** Paths that upper layers hide with all that lies below them. */
  readonly #subtrees = new Set<ByteString>()
  /** Directories of which upper layers hide the content, not the directory. */
  readonly #contents = new Set<ByteString>()
  /** Directories of upper layers: a file at such a path is replaced. */
  readonly #directories = new Set<ByteString>()
  /** Targets of hard links live on under another name. */
  readonly #linkTargets = new Set<ByteString>()

  /** Takes in a layer that lies above all that is asked about afterwards. */
  add(entries: readonly TarEntry[]): void {
    for (const entry of entries) {
      const names = entryNames(entry.path)
      if (typeof names === 'string') continue
      const role = entryRole(names)
      if (role.role === 'opaque') this.#contents.add(role.directory.join('/'))
      else if (role.role === 'whiteout') this.#subtrees.add([...role.directory, role.hidden].join('/'))
      else if (role.role === 'entry') this.#addEntry(entry, names.join('/'))
    }
  }

  /** Whether a file at this path, as written in a lower layer, will probably be hidden. */
  hides(path: ByteString): boolean {
    if (this.#subtrees.size + this.#contents.size + this.#directories.size === 0) return false
    const names = entryNames(path)
    if (typeof names === 'string') return false
    const normalised = names.join('/')
    if (this.#linkTargets.has(normalised)) return false
    if (this.#subtrees.has(normalised) || this.#directories.has(normalised)) return true
    let ancestor = normalised
    for (let slash = ancestor.lastIndexOf('/'); slash !== -1; slash = ancestor.lastIndexOf('/')) {
      ancestor = ancestor.slice(0, slash)
      if (this.#subtrees.has(ancestor) || this.#contents.has(ancestor)) return true
    }
    return this.#contents.has('')
  }

  #addEntry(entry: TarEntry, path: ByteString): void {
    if (entry.type === 'directory') this.#directories.add(path)
    else this.#subtrees.add(path)
    if (entry.type !== 'hardlink') return
    const target = entryNames(entry.linkTarget)
    if (typeof target !== 'string') this.#linkTargets.add(target.join('/'))
  }
}
