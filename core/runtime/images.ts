// Images as the runtime and its clients see them: the worker that holds the store, jobs that fill it, and who
// uses what. Foreign bytes are parsed in the worker only.
import { createHash } from 'node:crypto'
import type { ImageDetails, ImageSummary, Job, ParsedParamsOf, ResultOf } from '../api/methods.ts'
import { OciError } from '../oci/errors.ts'
import type { ImageWorkerClient, RootImage } from '../oci/image-worker-client.ts'
import { parseReference, parseRegistryName } from '../oci/reference.ts'
import {
  type ArchiveJob,
  archiveBuffer,
  exportSession,
  importSession,
  writeArchive,
} from './archive-sessions.ts'
import type { StreamSession } from './broker/stream-session.ts'
import { GuestError } from './errors.ts'
import type { EventHub } from './event-hub.ts'
import { ImageAnnouncements } from './image-announcements.ts'
import type { Asker, Jobs } from './jobs.ts'
import type { RegistryDirectory } from './registry-directory.ts'

export interface ImagesOptions {
  readonly worker: ImageWorkerClient
  readonly jobs: Jobs
  readonly events: EventHub
  readonly registries: RegistryDirectory
  /** Names of the guests made from the image with this manifest digest. */
  readonly usersOf: (digest: string) => readonly string[]
  /** Manifest digests of the images of all guests. */
  readonly inUse: () => readonly string[]
}

export class Images {
  readonly #options: ImagesOptions
  readonly #announcements: ImageAnnouncements

  constructor(options: ImagesOptions) {
    this.#options = options
    this.#announcements = new ImageAnnouncements(options.events, () => this.list())
  }

  async list(): Promise<ImageSummary[]> {
    const images = await this.#options.worker.list()
    return images.map((image) => ({ ...image, usedBy: [...this.#options.usersOf(image.digest)] }))
  }

  async inspect(key: string): Promise<ImageDetails> {
    const image = await this.#options.worker.inspect(key)
    return { ...image, usedBy: [...this.#options.usersOf(image.digest)] }
  }

  /** The finished root image of what `key` names, built if there is none. */
  rootImage(key: string, signal: AbortSignal): Promise<RootImage> {
    return this.#options.worker.rootImage(key, { signal })
  }

  /** Starts a pull, or joins one of the same image by the same means that is running. `asker` may leave it. */
  pull(request: ParsedParamsOf<'images.pull'>, asker?: Asker): Job {
    const { jobs, worker, registries } = this.#options
    return jobs.start({
      kind: 'pull',
      title: `Pull ${request.reference}`,
      sharedBy: keyOf('pull', request),
      asker,
      work: async ({ signal, progress }) => {
        const { reference: asked, platform, ...given } = request
        const { access, signatures } = await registries.resolve(parseReference(asked), given)
        const { reference } = await this.#announcements.during(() =>
          worker.pull(
            { reference: asked, platform, ...access, signatures },
            { signal, onProgress: progress },
          ),
        )
        await worker.rootImage(reference, { signal, onProgress: progress })
        return [reference]
      },
    })
  }

  /** A job that waits for an archive on the session's input. */
  import(request: ParsedParamsOf<'images.import'>, asker?: Asker): { job: Job; session: StreamSession } {
    const { jobs, worker } = this.#options
    const { name, platform, sizeBytes } = request
    const archive = archiveBuffer()
    const job = jobs.start({
      kind: 'import',
      title: name === undefined ? 'Import' : `Import ${name}`,
      asker,
      work: async ({ signal, progress }) => {
        try {
          const options = { name, platform, sizeBytes, signal, onProgress: progress }
          const { references } = await this.#announcements.during(() =>
            worker.importArchive(archive, options),
          )
          for (const reference of references)
            await worker.rootImage(reference, { signal, onProgress: progress })
          return references
        } finally {
          archive.destroy()
        }
      },
    })
    return { job, session: importSession(archive, this.#archiveJob(job)) }
  }

  /** A job that sends images as one archive on the session's output. */
  export(
    { images, format }: ParsedParamsOf<'images.export'>,
    asker?: Asker,
  ): { job: Job; session: StreamSession } {
    const { jobs, worker } = this.#options
    const archive = archiveBuffer()
    const job = jobs.start({
      kind: 'export',
      title: `Save ${images.join(', ')}`,
      asker,
      work: async ({ signal, progress }) => {
        try {
          const write = (bytes: Buffer) => writeArchive(archive, bytes)
          await worker.exportArchive({ images, format }, write, { signal, onProgress: progress })
          archive.end()
          return []
        } catch (error) {
          archive.destroy(error instanceof Error ? error : new Error(String(error)))
          throw error
        }
      },
    })
    return { job, session: exportSession(archive, this.#archiveJob(job)) }
  }

  /** Gives an image one more name; returns its full form. */
  tag(key: string, name: string): Promise<string> {
    return this.#announcements.during(() => this.#options.worker.tag(key, name))
  }

  /** Removes images that nothing needs. What guests were made of stays. */
  prune(request: ParsedParamsOf<'images.prune'>): Promise<ResultOf<'images.prune'>> {
    const { worker, inUse } = this.#options
    return this.#announcements.during(() => worker.prune({ ...request, inUse: inUse() }))
  }

  /** Reads all of the store again. */
  check(repair: boolean, signal: AbortSignal): Promise<ResultOf<'store.check'>> {
    const { worker, inUse } = this.#options
    return this.#announcements.during(() => worker.check({ repair, inUse: inUse() }, { signal }))
  }

  /** Throws what is wrong with the host's settings for registries. */
  checkSettings(): Promise<void> {
    return this.#options.registries.check()
  }

  /** A page of the tags of a repository in its registry. */
  async tags(request: ParsedParamsOf<'images.tags'>, signal: AbortSignal): Promise<ResultOf<'images.tags'>> {
    const { repository, after, limit, ...given } = request
    const { worker, registries } = this.#options
    const { access } = await registries.resolve(parseReference(repository), given)
    return worker.tags({ repository, after, limit, ...access }, { signal })
  }

  /** Whether a registry answers, and takes the credentials. */
  async checkRegistry(
    request: ParsedParamsOf<'registries.check'>,
    signal: AbortSignal,
  ): Promise<ResultOf<'registries.check'>> {
    const { registry: asked, ...given } = request
    const { worker, registries } = this.#options
    const registry = parseRegistryName(asked)
    const { access } = await registries.resolve({ registry, repository: '' }, given)
    return worker.checkRegistry({ registry, ...access }, { signal })
  }

  /** Looks for signatures of an image in its registry and checks them. */
  async verify(
    request: ParsedParamsOf<'images.verify'>,
    signal: AbortSignal,
  ): Promise<ResultOf<'images.verify'>> {
    const { image: key, keys, ...given } = request
    const { worker, registries } = this.#options
    const image = await this.#referenceOf(key)
    const { access, signatures } = await registries.resolve(parseReference(image), given)
    return worker.verify({ image, keys, ...access, signatures }, { signal })
  }

  async remove(key: string, force: boolean): Promise<{ untagged: string[]; deleted: string[] }> {
    const image = await this.inspect(key)
    if (image.usedBy.length > 0 && !force)
      throw new GuestError(
        'image.in-use',
        `Cannot remove image "${key}": guests are made from it (${image.usedBy.join(', ')})`,
        {
          hint: 'Remove them first with "bulkhead rm", or use --force to remove the name only.',
        },
      )
    const removed = await this.#announcements.during(() =>
      this.#options.worker.remove(key, { force, inUse: this.#options.inUse() }),
    )
    return { untagged: [...removed.untagged], deleted: [...removed.deleted] }
  }

  /** The full name of an image that is here; what is not here is looked up in its registry by the name as it is. */
  async #referenceOf(key: string): Promise<string> {
    try {
      return (await this.#options.worker.inspect(key)).reference
    } catch (error) {
      if (error instanceof OciError && error.code === 'oci.not-found') return key
      throw error
    }
  }

  #archiveJob({ id }: Job): ArchiveJob {
    const { jobs } = this.#options
    return { isOver: () => !jobs.isRunning(id), cancel: () => jobs.cancel(id) }
  }
}

/** The same for the same request, whatever secrets are in it. */
function keyOf(what: string, request: object): string {
  return createHash('sha256')
    .update(`${what}\n${JSON.stringify(request)}`)
    .digest('hex')
}
