// The core host's side of the image worker: what core/runtime calls. Starts the worker, starts it again after it died, and
// trusts no answer further than it was checked.

import { constants } from 'node:fs'
import { chmod, chown, mkdir, open, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { OciError, throwIfCancelled } from './errors.ts'
import type { RunConfig } from './image-config.ts'
import { type CallOptions, WorkerProcess } from './image-worker-process.ts'
import type {
  CatalogueDetails,
  CatalogueEntry,
  ParametersOf,
  PruneParameters,
  PullParameters,
  ResultOf,
  RootImageFormatName,
  TagsParameters,
  VerifyParameters,
} from './image-worker-protocol.ts'

export interface ImageWorkerOptions {
  /** Folder of `store/` and `images/`; it exists, and the worker's user may enter it. */
  readonly root: string
  /** How root images are made; squashfs when left out. */
  readonly rootImageFormat?: RootImageFormatName | undefined
  /** The user and group to run as, which needs root; ours when left out. */
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  /** The Node program to run the worker with; ours when left out. */
  readonly execPath?: string | undefined
  /** Takes what the worker writes to its stderr, line by line. */
  readonly log?: ((message: string) => void) | undefined
}

export interface ImportOptions extends CallOptions {
  /** The reference to give to the image, instead of the archive's own. */
  readonly name?: string | undefined
  /** Bytes that will come, for progress, where known. */
  readonly sizeBytes?: number | undefined
  /** `linux/amd64`; this machine's when left out. */
  readonly platform?: string | undefined
}

export interface RemoveOptions {
  readonly force?: boolean | undefined
  /** Digests of the images of which guests exist: what these guests need is kept. */
  readonly inUse?: readonly string[] | undefined
}

/** A finished root image: a file system in a file, and what the guest is started with. */
export interface RootImage {
  readonly path: string
  readonly format: RootImageFormatName
  /** Of the image's manifest. */
  readonly digest: string
  readonly configDigest: string
  /** When the image was made, as it says. */
  readonly created?: string | undefined
  /** Of the file. */
  readonly sizeBytes: number
  /** Of the files in it. */
  readonly uncompressedBytes: number
  readonly entries: number
  readonly runConfig: RunConfig
}

/** Starts the image worker and opens the store with it. Throws `oci.worker-died`, `oci.in-use`, `oci.corrupt-store`. */
export async function startImageWorker(options: ImageWorkerOptions): Promise<ImageWorkerClient> {
  const { root, uid, gid } = options
  if (uid !== undefined) await prepareFolders(root, uid, gid ?? uid)
  const client = new ImageWorkerClient(options)
  try {
    await client.start()
    return client
  } catch (error) {
    await client[Symbol.asyncDispose]()
    throw error
  }
}

export class ImageWorkerClient implements AsyncDisposable {
  readonly #options: ImageWorkerOptions
  #running: Promise<WorkerProcess> | undefined
  #isClosed = false
  #lastStream = 0

  constructor(options: ImageWorkerOptions) {
    this.#options = options
  }

  /** Makes sure that a worker runs; the other methods do so by themselves. Returns its process id. */
  async start(): Promise<number | undefined> {
    return (await this.#worker()).pid
  }

  /** All references, in the order they were stored. */
  async list(): Promise<CatalogueEntry[]> {
    return (await this.#worker()).call('list', {})
  }

  /** Config, layers and history of an image. */
  async inspect(image: string): Promise<CatalogueDetails> {
    return (await this.#worker()).call('inspect', { image })
  }

  /** Pulls an image from its registry. */
  async pull(request: PullParameters, options: CallOptions = {}): Promise<ResultOf<'pull'>> {
    return (await this.#worker()).call('pull', request, options)
  }

  /** Imports an archive. The stream is read to its end, or destroyed when the import fails. */
  async importArchive(
    archive: Readable,
    { name, sizeBytes, platform, ...options }: ImportOptions = {},
  ): Promise<ResultOf<'import'>> {
    const worker = await this.#worker()
    // Careful: from here to the call without a wait, else the worker would be sent what it was never asked to read.
    if (options.signal?.aborted === true) archive.destroy()
    throwIfCancelled(options.signal, 'import the archive')
    this.#lastStream += 1
    const stream = this.#lastStream
    const sent = worker.lane.send(stream, archive, options.signal)
    // Why the sending failed is only of interest when the import fails by it.
    let sendError: unknown
    sent.catch((error: unknown) => {
      sendError = error
    })
    try {
      const result = await worker.call('import', { stream, name, sizeBytes, platform }, options)
      await sent
      return result
    } catch (error) {
      const reason = sendError !== undefined && options.signal?.aborted !== true ? sendError : error
      archive.destroy()
      await sent.catch(() => {})
      throw reason
    }
  }

  /**
   * Images as one archive, whose bytes are given to `write` in order, each waited for. Resolves when all have been
   * written. Throws what `write` throws.
   */
  async exportArchive(
    request: Omit<ParametersOf['export'], 'stream' | 'progressToken'>,
    write: (bytes: Buffer) => Promise<void>,
    options: CallOptions = {},
  ): Promise<ResultOf<'export'>> {
    const worker = await this.#worker()
    throwIfCancelled(options.signal, 'export images')
    this.#lastStream += 1
    const stream = this.#lastStream
    using archive = worker.lane.receive(stream)
    const written = writeAll(archive, write)
    // Whoever cannot write tells the worker by leaving: its call ends then.
    written.catch(() => archive[Symbol.dispose]())
    const result = await worker.call('export', { stream, ...request }, options)
    if ((await written) === result.sizeBytes) return result
    throw new OciError(
      'oci.internal',
      'Cannot export images: the image worker sent another size than it said',
    )
  }

  /** Gives an image one more name; returns its full form. */
  async tag(image: string, name: string): Promise<string> {
    return (await (await this.#worker()).call('tag', { image, name })).reference
  }

  /** Removes a reference, and with the last one the image. */
  async remove(image: string, { force, inUse }: RemoveOptions = {}): Promise<ResultOf<'remove'>> {
    return (await this.#worker()).call('remove', { image, force, inUse })
  }

  /** Removes images that nothing needs, and what can be made again; with `dryRun` only tells what would go. */
  async prune(request: PruneParameters): Promise<ResultOf<'prune'>> {
    return (await this.#worker()).call('prune', request)
  }

  /** Reads every blob again; with `repair`, what is damaged is removed. */
  async check(
    request: { readonly repair: boolean; readonly inUse: readonly string[] },
    options: CallOptions = {},
  ): Promise<ResultOf<'check'>> {
    return (await this.#worker()).call('check', request, options)
  }

  /** A page of the tags of a repository. */
  async tags(request: TagsParameters, options: CallOptions = {}): Promise<ResultOf<'tags'>> {
    return (await this.#worker()).call('tags', request, options)
  }

  /** Whether a registry answers, and takes the credentials. */
  async checkRegistry(
    request: ParametersOf['checkRegistry'],
    options: CallOptions = {},
  ): Promise<ResultOf<'checkRegistry'>> {
    return (await this.#worker()).call('checkRegistry', request, options)
  }

  /** Looks for signatures of an image in its registry and checks them. */
  async verify(request: VerifyParameters, options: CallOptions = {}): Promise<ResultOf<'verify'>> {
    return (await this.#worker()).call('verify', request, options)
  }

  /** Removes what no reference and no guest needs; returns the bytes that became free. */
  async sweep(inUse: readonly string[]): Promise<number> {
    return (await (await this.#worker()).call('sweep', { inUse })).freedBytes
  }

  /** The root image of what `image` names, built if there is none. */
  async rootImage(image: string, options: CallOptions = {}): Promise<RootImage> {
    const { key, ...built } = await (await this.#worker()).call('rootImage', { image }, options)
    const file = path.join(this.#options.root, 'images', `${key}.${built.format}`)
    await this.#requireOwnFile(file, built.sizeBytes)
    return { path: file, ...built }
  }

  /** Ends the worker; what is in flight fails. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    const worker = await this.#running?.catch(() => undefined)
    await worker?.end()
  }

  /** The worker that runs, or a new one in place of one that has died. */
  async #worker(): Promise<WorkerProcess> {
    if (this.#isClosed)
      throw new OciError('oci.worker-died', 'Cannot use the image worker: it has been closed')
    this.#running ??= this.#launch()
    const running = this.#running
    const forget = () => {
      if (this.#running === running) this.#running = undefined
    }
    try {
      const worker = await running
      if (worker.isAlive) return worker
    } catch (error) {
      forget()
      throw error
    }
    forget()
    return this.#worker()
  }

  async #launch(): Promise<WorkerProcess> {
    const { root, rootImageFormat = 'squashfs', log = () => {} } = this.#options
    const worker = new WorkerProcess({ ...this.#options, log })
    try {
      await worker.call('open', { root, rootImageFormat })
      return worker
    } catch (error) {
      await worker.end()
      throw error
    }
  }

  /**
   * The path becomes a disk of a guest, opened as root: it has to be a regular file of the worker's user, not a link to
   * something that the worker could not read itself.
   */
  async #requireOwnFile(file: string, sizeBytes: number): Promise<void> {
    const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW)
    try {
      const status = await handle.stat()
      const owner = this.#options.uid ?? process.getuid?.()
      if (status.isFile() && status.size === sizeBytes && status.uid === owner) return
      throw new OciError(
        'oci.corrupt-store',
        `Cannot use the root image ${file}: it is not the file that the image worker wrote`,
      )
    } finally {
      await handle.close()
    }
  }
}

/** Returns how many bytes there were. */
async function writeAll(
  archive: AsyncIterable<Buffer>,
  write: (bytes: Buffer) => Promise<void>,
): Promise<number> {
  let sizeBytes = 0
  for await (const chunk of archive) {
    sizeBytes += chunk.length
    await write(chunk)
  }
  return sizeBytes
}

/** The folders that the worker writes to; the folder around them belongs to root and stays so. */
async function prepareFolders(root: string, uid: number, gid: number): Promise<void> {
  for (const [name, mode] of [
    ['store', 0o700],
    ['images', 0o755],
  ] as const) {
    const folder = path.join(root, name)
    await mkdir(folder, { recursive: true })
    await chmod(folder, mode)
    if ((await stat(folder)).uid !== uid) await chown(folder, uid, gid)
  }
}
