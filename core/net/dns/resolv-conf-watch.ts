// Following the host's resolver settings as they change. /etc/resolv.conf may be a file that is written in place, one that is
// replaced, or a symbolic link into /run whose target is replaced or whose link is turned elsewhere, and it may be away for
// a while: inotify on every folder on the way to it says when to look again. What inotify does not tell (a mount over the
// file, a network file system, a folder that is made later) `refresh()` finds, which the forwarder calls as it works.
import { type FSWatcher, lstatSync, readlinkSync, statSync, watch } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { isSystemError } from '../../sys/system-error.ts'
import { type ResolverSettings, readResolvConf, resolvConfPath } from './resolv-conf.ts'

export interface ResolvConfWatchOptions {
  readonly path?: string
  /** Called after each change of what the file says, never from within the constructor. */
  readonly onChange: (settings: ResolverSettings) => void
  /** A file that is there and cannot be read; the old settings stay. */
  readonly onError: (error: unknown) => void
}

/** As long as the kernel follows (MAXSYMLINKS). */
const MOST_LINKS = 40
/** `refresh()` looks no more often than this. */
const REFRESH_INTERVAL_MS = 1000

export class ResolvConfWatch implements Disposable {
  readonly #path: string
  readonly #onChange: (settings: ResolverSettings) => void
  readonly #onError: (error: unknown) => void
  /** By folder; what is looked at there. */
  #watchers = new Map<string, { readonly watcher: FSWatcher; readonly names: Set<string> }>()
  #settings: ResolverSettings = { servers: [], search: [], options: [] }
  #seen = ''
  #lookedAtMs = Number.NEGATIVE_INFINITY
  #isClosed = false

  constructor({ path = resolvConfPath, onChange, onError }: ResolvConfWatchOptions) {
    this.#path = resolve(path)
    this.#onChange = onChange
    this.#onError = onError
    this.#look(() => undefined)
  }

  /** What the file said when it was last read. */
  get settings(): ResolverSettings {
    return this.#settings
  }

  /** Looks whether the file is another one or has changed, at most once a second; costs one stat(2). */
  refresh(nowMs: number): void {
    if (nowMs - this.#lookedAtMs < REFRESH_INTERVAL_MS) return
    this.#lookedAtMs = nowMs
    if (fingerprint(this.#path) !== this.#seen) this.#look(this.#onChange)
  }

  [Symbol.dispose](): void {
    this.#isClosed = true
    for (const { watcher } of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  #look(onChange: (settings: ResolverSettings) => void): void {
    if (this.#isClosed) return
    // The watches first: what changes between them and the reading is told once more.
    this.#follow()
    this.#seen = fingerprint(this.#path)
    let settings: ResolverSettings
    try {
      settings = readResolvConf(this.#path)
    } catch (error) {
      this.#onError(error)
      return
    }
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return
    this.#settings = settings
    onChange(settings)
  }

  /** Watches the folders on the way to the file, and no others. */
  #follow(): void {
    const wanted = places(this.#path)
    for (const [folder, { watcher }] of this.#watchers) {
      if (wanted.has(folder)) continue
      watcher.close()
      this.#watchers.delete(folder)
    }
    for (const [folder, names] of wanted) {
      const known = this.#watchers.get(folder)
      if (known !== undefined) {
        known.names.clear()
        for (const name of names) known.names.add(name)
        continue
      }
      const watcher = this.#watchFolder(folder, names)
      if (watcher !== undefined) this.#watchers.set(folder, { watcher, names })
    }
  }

  #watchFolder(folder: string, names: ReadonlySet<string>): FSWatcher | undefined {
    let watcher: FSWatcher
    try {
      watcher = watch(folder, { persistent: false }, (_event, name) => {
        // Without a name the folder itself went away or was moved.
        if (name !== null && name !== basename(folder) && !names.has(name)) return
        if (name === null || name === basename(folder)) this.#forget(folder, watcher)
        this.#look(this.#onChange)
      })
    } catch (error) {
      // Not there now, or out of watches: `refresh()` goes on looking.
      if (!isSystemError(error, 'ENOENT', 'ENOTDIR')) this.#onError(error)
      return undefined
    }
    watcher.on('error', () => this.#forget(folder, watcher))
    return watcher
  }

  #forget(folder: string, watcher: FSWatcher): void {
    watcher.close()
    if (this.#watchers.get(folder)?.watcher === watcher) this.#watchers.delete(folder)
  }
}

/** The folders that hold `path` and every link on from it, with the names that matter in each. */
function places(path: string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  let at = path
  for (let link = 0; link <= MOST_LINKS; link++) {
    const folder = dirname(at)
    const names = found.get(folder) ?? new Set()
    found.set(folder, names.add(basename(at)))
    const target = linkTarget(at)
    if (target === undefined) break
    at = resolve(folder, target)
  }
  return found
}

function linkTarget(path: string): string | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined
  } catch {
    // Then the way ends here, whatever the reason: reading the file will say it.
    return undefined
  }
}

/** Which file this is and when it was written, or why there is none: the same as long as nothing changes. */
function fingerprint(path: string): string {
  try {
    const { dev, ino, mtimeNs, ctimeNs, size } = statSync(path, { bigint: true })
    return `${dev} ${ino} ${mtimeNs} ${ctimeNs} ${size}`
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'none'
  }
}
