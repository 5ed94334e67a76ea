// Pieces of one segment that go into an image, in the order in which they stand in the segment and without the gaps
// between them.

interface PlacedExtent {
  readonly start: number
  sizeBytes: number
  /** Where it stands in the image. */
  newStart: number
}

export class PlacedExtents {
  #extents: PlacedExtent[] = []

  /** Adds a piece; no two may overlap. */
  add(start: number, sizeBytes: number): void {
    this.#extents.push({ start, sizeBytes, newStart: 0 })
  }

  /** Gives the pieces their places from `position` on, joining neighbours; returns where the last one ends. */
  place(position: number): number {
    const joined: PlacedExtent[] = []
    let end = position
    for (const extent of this.#extents.sort((one, other) => one.start - other.start)) {
      const last = joined.at(-1)
      if (last !== undefined && last.start + last.sizeBytes === extent.start)
        last.sizeBytes += extent.sizeBytes
      else joined.push({ ...extent, newStart: end })
      end += extent.sizeBytes
    }
    this.#extents = joined
    return end
  }

  /** Where something that stands at `start` in the segment stands in the image. */
  newPlaceOf(start: number): number {
    let low = 0
    let high = this.#extents.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#extents[middle]?.start ?? 0) <= start) low = middle
      else high = middle - 1
    }
    const extent = this.#extents[low]
    if (extent === undefined || start < extent.start || start >= extent.start + extent.sizeBytes)
      throw new Error(`byte ${start} of a segment does not go into the image`)
    return extent.newStart + start - extent.start
  }

  /** The pieces in order. */
  list(): { readonly start: number; readonly sizeBytes: number }[] {
    return this.#extents.map(({ start, sizeBytes }) => ({ start, sizeBytes }))
  }
}
