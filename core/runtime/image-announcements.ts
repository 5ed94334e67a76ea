// Tells clients what became of the images: what is there is compared with what was there when it was last told, so that
// every change is, also those that come with another (an image that loses its name to a newer one keeps its digest).
import type { ImageSummary } from '../api/methods.ts'
import type { EventHub } from './event-hub.ts'

export class ImageAnnouncements {
  readonly #events: EventHub
  readonly #list: () => Promise<readonly ImageSummary[]>
  /** What was told last, by reference: before the first change, what is there. */
  #told: ReadonlyMap<string, ImageSummary> = new Map()
  #isReady: Promise<void> | undefined
  /** Comparisons happen one after the other. */
  #last: Promise<void> = Promise.resolve()

  constructor(events: EventHub, list: () => Promise<readonly ImageSummary[]>) {
    this.#events = events
    this.#list = list
  }

  /** Does something that may change what there is, and tells what it changed, be it that it failed half-way. */
  async during<T>(change: () => Promise<T>): Promise<T> {
    await this.#ready()
    try {
      return await change()
    } finally {
      this.#last = this.#last.then(() => this.#tell())
      await this.#last
    }
  }

  /** Looks once, however many begin at the same time: a later look could already see what the first has changed. */
  async #ready(): Promise<void> {
    this.#isReady ??= this.#list().then((images) => {
      this.#told = byReference(images)
    })
    try {
      await this.#isReady
    } catch {
      // A list that is damaged must not keep it from being repaired; all that is there is told then.
      this.#isReady = undefined
    }
  }

  async #tell(): Promise<void> {
    let images: readonly ImageSummary[]
    try {
      images = await this.#list()
    } catch {
      // Whoever made the change hears why; the next comparison finds this one too.
      return
    }
    const before = this.#told
    const now = byReference(images)
    this.#told = now
    for (const [reference, image] of now)
      if (!isSame(before.get(reference), image)) this.#events.publish({ type: 'image', image })
    for (const reference of before.keys())
      if (!now.has(reference)) this.#events.publish({ type: 'image-removed', reference })
  }
}

function byReference(images: readonly ImageSummary[]): Map<string, ImageSummary> {
  return new Map(images.map((image) => [image.reference, image]))
}

/** Who uses it is told by the events of guests. */
function isSame(one: ImageSummary | undefined, other: ImageSummary): boolean {
  return one?.digest === other.digest && one.pulledAt === other.pulledAt
}
