// Finished root images: `<key>.squashfs` or `<key>.erofs`, and beside it `<key>.json` with what a guest is started with. They are derived
// from the store and can be made again, so they have no index: the key is computed from the manifest's digest.

import { createHash } from 'node:crypto'
import { chmod, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import {
  removeTemporaries,
  replaceFile,
  syncFolder,
  TEMPORARY_MARK,
  temporaryName,
} from '../../durable-file.ts'
import { type Digest, isDigest } from '../digest.ts'
import { fromDiskError, hasCode } from '../errors.ts'
import { sizeOf } from '../file-bytes.ts'
import { runConfigSchema } from '../image-config.ts'
import { openRegularFile } from '../open-regular-file.ts'
import type { ImageFormat } from '../writers/image-format.ts'

const digestSchema = z.string().refine(isDigest, 'is not a digest')

/** The document beside a root image. */
export const rootImageRecordSchema = z.object({
  formatVersion: z.literal(2),
  /** Of the file system. */
  format: z.enum(['squashfs', 'erofs']),
  imageDigest: digestSchema,
  configDigest: digestSchema,
  /** When the image was made, RFC 3339, as it says. */
  created: z.string().optional(),
  /** Size of the image file. */
  sizeBytes: z.int().nonnegative(),
  /** Sum of the files' sizes. */
  uncompressedBytes: z.int().nonnegative(),
  entries: z.int().nonnegative(),
  runConfig: runConfigSchema,
})

export type RootImageRecord = Readonly<z.infer<typeof rootImageRecordSchema>>

export interface RootImageFile {
  readonly key: string
  readonly path: string
  readonly record: RootImageRecord
}

/** A root image as it lies there. */
export interface ListedRootImage {
  /** Of its files: the image and its record, or one of them. */
  readonly names: readonly string[]
  readonly record: RootImageRecord | undefined
  /** Of the image's file. */
  readonly sizeBytes: number
  /** Whether image and record fit each other; a record alone counts as nothing. */
  readonly isSound: boolean
}

/** What images are made: see `ImageFormat`. */
export type RootImageFormat = Pick<ImageFormat, 'name' | 'version'>

export class RootImages {
  readonly #folder: string
  readonly #format: RootImageFormat

  private constructor(folder: string, format: RootImageFormat) {
    this.#folder = folder
    this.#format = format
  }

  /** Opens the folder and drops half-written files. Images of `format` are found and added; its version is in the key. */
  static async open(folder: string, format: RootImageFormat): Promise<RootImages> {
    await mkdir(folder, { recursive: true, mode: 0o755 })
    await removeTemporaries(folder)
    const images = new RootImages(folder, format)
    for (const names of (await images.#files()).values()) {
      // A crash came before the image got its name.
      if (isRecordAlone(names)) await images.remove(names)
    }
    return images
  }

  /** The root image of a manifest, if it is there. */
  async find(imageDigest: Digest): Promise<RootImageFile | undefined> {
    const key = this.#keyOf(imageDigest)
    const file = this.#pathOf(key)
    try {
      const record = await this.#readRecord(`${key}${RECORD_SUFFIX}`)
      const status = await lstat(file)
      // A record of another version or a file of another size: as good as absent, it is built again.
      if (record === undefined || !status.isFile() || record.sizeBytes !== status.size) return undefined
      return { key, path: file, record }
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** Lets `build` write a root image to the path it is given and puts it in place with its record. */
  async add(
    imageDigest: Digest,
    build: (output: string) => Promise<RootImageRecord>,
  ): Promise<RootImageFile> {
    const key = this.#keyOf(imageDigest)
    const file = this.#pathOf(key)
    const temporary = temporaryName(file)
    try {
      const record = await build(temporary)
      // The record first: an image without a record must not exist, a record without an image counts as nothing.
      await replaceFile(this.#recordPathOf(key), `${JSON.stringify(record, undefined, 2)}\n`, { mode: 0o444 })
      await chmod(temporary, 0o444)
      await syncFile(temporary)
      await rename(temporary, file)
      await syncFolder(this.#folder)
      return { key, path: file, record }
    } catch (error) {
      await rm(temporary, { force: true })
      throw fromDiskError('store the root image', error)
    }
  }

  /**
   * Removes the root images, of any format, whose manifest is not wanted; returns the bytes that became free.
   * `dryRun` removes nothing and tells what it would.
   */
  async sweep(
    isWanted: (imageDigest: Digest) => boolean,
    { dryRun = false }: { readonly dryRun?: boolean | undefined } = {},
  ): Promise<number> {
    let freedBytes = 0
    for (const { names, record, sizeBytes } of await this.list()) {
      if (record !== undefined && isWanted(record.imageDigest)) continue
      freedBytes += sizeBytes
      if (!dryRun) await this.remove(names)
    }
    return freedBytes
  }

  /** All root images of any format, whole or not. */
  async list(): Promise<ListedRootImage[]> {
    const images: ListedRootImage[] = []
    for (const [key, names] of await this.#files()) {
      const record = await this.#readRecord(`${key}${RECORD_SUFFIX}`)
      let sizeBytes = 0
      for (const name of names) {
        if (!name.endsWith(RECORD_SUFFIX)) sizeBytes += await sizeOf(path.join(this.#folder, name))
      }
      images.push({
        names,
        record,
        sizeBytes,
        // A record alone: its image may be about to get its name.
        isSound: isRecordAlone(names) || (record?.sizeBytes === sizeBytes && names.length === 2),
      })
    }
    return images
  }

  /** Removes files of the folder. The record stays longest, so that no image is without one. */
  async remove(names: readonly string[]): Promise<void> {
    const records = names.filter((name) => name.endsWith(RECORD_SUFFIX))
    for (const name of [...names.filter((each) => !records.includes(each)), ...records])
      await rm(path.join(this.#folder, name), { force: true })
    await syncFolder(this.#folder)
  }

  /** Names of files that are neither root images nor being written. */
  async strangers(): Promise<string[]> {
    const names = await readdir(this.#folder)
    return names.filter(
      (name) => !name.includes(TEMPORARY_MARK) && !SUFFIXES.some((suffix) => name.endsWith(suffix)),
    )
  }

  /** The files of all root images by key: images and records, also where one is missing. */
  async #files(): Promise<Map<string, string[]>> {
    const files = new Map<string, string[]>()
    for (const name of await readdir(this.#folder)) {
      const suffix = SUFFIXES.find((candidate) => name.endsWith(candidate))
      if (suffix === undefined) continue
      const key = name.slice(0, -suffix.length)
      files.set(key, [...(files.get(key) ?? []), name])
    }
    return files
  }

  async #readRecord(name: string): Promise<RootImageRecord | undefined> {
    await using file = await openRegularFile(path.join(this.#folder, name))
    if (file === undefined) return undefined
    try {
      return rootImageRecordSchema.safeParse(JSON.parse(await file.readFile('utf8'))).data
    } catch (error) {
      if (error instanceof SyntaxError) return undefined
      throw error
    }
  }

  #keyOf(imageDigest: Digest): string {
    const { name, version } = this.#format
    return createHash('sha256').update(`${name} ${version}\n${imageDigest}\n`).digest('hex')
  }

  #pathOf(key: string): string {
    return path.join(this.#folder, `${key}.${this.#format.name}`)
  }

  #recordPathOf(key: string): string {
    return path.join(this.#folder, `${key}${RECORD_SUFFIX}`)
  }
}

const RECORD_SUFFIX = '.json'
const SUFFIXES = ['.squashfs', '.erofs', RECORD_SUFFIX]

function isRecordAlone(names: readonly string[]): boolean {
  return names.length === 1 && names[0]?.endsWith(RECORD_SUFFIX) === true
}

async function syncFile(file: string): Promise<void> {
  const handle = await open(file, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
