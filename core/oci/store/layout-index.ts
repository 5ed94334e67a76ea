// The store's table of contents: `index.json` of the OCI layout (image-spec image-layout.md), one descriptor for each
// reference. skopeo, umoci and containerd read it; what they added to it is kept.
//
// It is the one file of the store that cannot be made again: which names there were, nothing else says. So each version
// of it has a copy beside it, which `check` can put in its place.

import { constants } from 'node:fs'
import { access, open, readFile, rename } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { removeTemporaries, replaceFile } from '../../durable-file.ts'
import { type Digest, isDigest } from '../digest.ts'
import { fromDiskError, hasCode, OciError } from '../errors.ts'
import { formatReference, type ImageReference, parseReference } from '../reference.ts'

/** One reference and the manifest that it leads to. */
export interface StoredReference {
  /** The full form, `docker.io/library/alpine:3.20`. */
  readonly name: string
  readonly reference: ImageReference
  readonly manifest: { readonly mediaType: string; readonly digest: Digest; readonly size: number }
  /** The index that the name leads to in the registry, when it does not lead to the manifest itself. */
  readonly indexDigest?: Digest | undefined
  /** When the reference was stored, RFC 3339. */
  readonly storedAt?: string | undefined
}

/** What skopeo and umoci look for: unlike containerd we put the full name, which is unique in the store. */
const REF_NAME = 'org.opencontainers.image.ref.name'
const IMAGE_NAME = 'io.containerd.image.name'
const INDEX_DIGEST = 'bulkhead.index-digest'
const STORED_AT = 'bulkhead.stored-at'

const descriptorSchema = z.looseObject({
  mediaType: z.string(),
  digest: z.string().refine(isDigest),
  size: z.int().nonnegative(),
  annotations: z.record(z.string(), z.string()).optional(),
})

const indexSchema = z.looseObject({
  schemaVersion: z.literal(2),
  manifests: z.array(descriptorSchema),
})

type Index = z.infer<typeof indexSchema>
type Entry = z.infer<typeof descriptorSchema>

export class LayoutIndex {
  readonly #file: string
  /** What was written last, in case the file is damaged. */
  readonly #copy: string
  /** Changes happen one after the other. */
  #lastChange: Promise<unknown> = Promise.resolve()

  private constructor(folder: string) {
    this.#file = path.join(folder, 'index.json')
    this.#copy = path.join(folder, 'index.copy.json')
  }

  /**
   * Opens the layout in `folder`; an empty folder becomes an empty layout. Throws `oci.corrupt-store` for what is no
   * layout; a damaged index is told by whatever reads it, so that `check` can get at the store.
   */
  static async open(folder: string): Promise<LayoutIndex> {
    await removeTemporaries(folder)
    await requireLayoutVersion(folder)
    const index = new LayoutIndex(folder)
    // Careful: an index that is missing is not the same as none yet.
    const isNew = !(await exists(index.#file)) && !(await exists(index.#copy))
    if (isNew) await index.#write({ schemaVersion: 2, manifests: [] })
    else await index.#copyIfChanged()
    return index
  }

  /** Whether the list of images cannot be read. */
  async isDamaged(): Promise<boolean> {
    return (await readIndex(this.#file)) === undefined
  }

  /**
   * Puts the copy in the place of a damaged index, or `fallback` where the copy is damaged too. What is damaged is kept
   * beside it for people to look at. Tells which it was.
   */
  async restore(
    fallback: () => Promise<readonly Omit<StoredReference, 'name'>[]>,
  ): Promise<'copy' | 'fallback'> {
    const copy = await readIndex(this.#copy)
    const index = copy ?? { schemaVersion: 2 as const, manifests: (await fallback()).map(toEntry) }
    if (await exists(this.#file)) await rename(this.#file, `${this.#file}.damaged`)
    await this.#write(index)
    return copy === undefined ? 'fallback' : 'copy'
  }

  /** What the entries of other tools lead to. */
  async foreignDigests(): Promise<Digest[]> {
    const { manifests } = await this.#read()
    return manifests.filter((entry) => toStoredReference(entry) === undefined).map(({ digest }) => digest)
  }

  /** All references, in the order they were stored. */
  async list(): Promise<StoredReference[]> {
    return (await this.#read()).manifests.flatMap((entry) => toStoredReference(entry) ?? [])
  }

  /** Whether another tool put entries in that carry no name of ours. */
  async hasForeignEntries(): Promise<boolean> {
    return (await this.#read()).manifests.some((entry) => toStoredReference(entry) === undefined)
  }

  /**
   * Adds or moves a reference. An image that would lose its last name by that stays in the store under its digest
   * (`name@sha256:…`), as guests may have been made of it.
   */
  async set(stored: Omit<StoredReference, 'name'>): Promise<void> {
    const name = formatReference(stored.reference)
    await this.#change((entries) => {
      const previous = entries.find((entry) => nameOf(entry) === name)
      const others = entries.filter((entry) => entry !== previous)
      const result = [...others, toEntry(stored)]
      const isOrphan = previous !== undefined && !result.some(({ digest }) => digest === previous.digest)
      if (!isOrphan) return result
      const { registry, repository } = stored.reference
      const kept = toStoredReference(previous)
      return kept === undefined
        ? result
        : [...result, toEntry({ ...kept, reference: { registry, repository, digest: previous.digest } })]
    })
  }

  /** Removes references by their full names. */
  async delete(names: ReadonlySet<string>): Promise<void> {
    await this.#change((entries) => entries.filter((entry) => !names.has(nameOf(entry) ?? '')))
  }

  async #change(change: (entries: readonly Entry[]) => readonly Entry[]): Promise<void> {
    const result = this.#lastChange.then(async () => {
      const index = await this.#read()
      await this.#write({ ...index, manifests: [...change(index.manifests)] })
    })
    this.#lastChange = result.catch(() => {})
    return result
  }

  async #read(): Promise<Index> {
    const index = await readIndex(this.#file)
    if (index !== undefined) return index
    // Careful: an index that cannot be read is never replaced by an empty one; every image would be swept.
    throw new OciError('oci.corrupt-store', `Cannot read the list of images: ${this.#file} is damaged`, {
      hint: 'Repair it with "bulkhead image check --repair".',
    })
  }

  async #write(index: Index): Promise<void> {
    const text = `${JSON.stringify(index, undefined, 2)}\n`
    try {
      await replaceFile(this.#file, text, { mode: 0o600 })
      await replaceFile(this.#copy, text, { mode: 0o600 })
    } catch (error) {
      throw fromDiskError('write the list of images', error)
    }
  }

  /** Another tool may have changed the index, or a crash may have come between the two files. */
  async #copyIfChanged(): Promise<void> {
    const text = await readText(this.#file)
    const isReadable = text !== undefined && toIndex(text) !== undefined
    if (isReadable && text !== (await readText(this.#copy))) await replaceFile(this.#copy, text)
  }
}

/** Undefined when the file is missing or damaged. */
async function readIndex(file: string): Promise<Index | undefined> {
  const text = await readText(file)
  return text === undefined ? undefined : toIndex(text)
}

function toIndex(text: string): Index | undefined {
  return indexSchema.safeParse(parseJson(text)).data
}

async function readText(file: string): Promise<string | undefined> {
  try {
    await using handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW)
    return await handle.readFile('utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ELOOP')) return undefined
    throw error
  }
}

function toEntry({ reference, manifest, indexDigest, storedAt }: Omit<StoredReference, 'name'>): Entry {
  const name = formatReference(reference)
  return {
    mediaType: manifest.mediaType,
    digest: manifest.digest,
    size: manifest.size,
    annotations: {
      [REF_NAME]: name,
      [IMAGE_NAME]: name,
      ...(indexDigest === undefined ? {} : { [INDEX_DIGEST]: indexDigest }),
      ...(storedAt === undefined ? {} : { [STORED_AT]: storedAt }),
    },
  }
}

/** Undefined for an entry without a name that we could have given it. */
function toStoredReference(entry: Entry): StoredReference | undefined {
  const name = nameOf(entry)
  if (name === undefined) return undefined
  const indexDigest = entry.annotations?.[INDEX_DIGEST]
  try {
    return {
      name,
      reference: parseReference(name),
      manifest: { mediaType: entry.mediaType, digest: entry.digest, size: entry.size },
      indexDigest: indexDigest !== undefined && isDigest(indexDigest) ? indexDigest : undefined,
      storedAt: entry.annotations?.[STORED_AT],
    }
  } catch {
    return undefined
  }
}

function nameOf(entry: Entry): string | undefined {
  return entry.annotations?.[IMAGE_NAME]
}

async function requireLayoutVersion(folder: string): Promise<void> {
  const file = path.join(folder, 'oci-layout')
  if (!(await exists(file))) {
    await replaceFile(file, '{"imageLayoutVersion":"1.0.0"}\n', { mode: 0o600 })
    return
  }
  const result = z
    .object({ imageLayoutVersion: z.literal('1.0.0') })
    .safeParse(parseJson(await readFile(file, 'utf8')))
  if (result.success) return
  throw new OciError(
    'oci.corrupt-store',
    `Cannot open the image store in ${folder}: it is not an OCI layout of version 1.0.0`,
  )
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}
