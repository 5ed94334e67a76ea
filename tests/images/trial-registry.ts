// A made image of several layers, and a registry that serves it slowly enough to be disturbed in the middle.

import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, stat, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import path from 'node:path'
import { run } from './commands.ts'
import { readLayout } from './made-images.ts'
import { type ScriptedRegistry, startScriptedRegistry } from './scripted-registry.ts'

const LAYER_BYTES = [40_000, 400_000, 1_500_000, 3_000_000]
/** A layer that is worth helpers, more connections that take ranges from further on (blob-download.ts). */
export const LARGE_LAYER_BYTES = [...LAYER_BYTES, 96_000_000]
/** What the registry sends of a blob at a time, so that a pull takes long enough to be hit in the middle. */
const BURST_BYTES = 128 * 1024
const BURST_MS = 4

/** An image of several layers, and the registry that serves it slowly. */
export class TrialRegistry implements AsyncDisposable {
  /** How many downloads went on where another had stopped. */
  resumed = 0
  /** Of all layers. */
  readonly imageBytes: number
  /** Digest of an image that has all layers but the last. */
  readonly smallerImage: string
  readonly layerCount: number
  /** How many parts were asked for that end before the blob does: helpers alone do so. */
  helped = 0
  readonly #registry: ScriptedRegistry

  private constructor(
    registry: ScriptedRegistry,
    image: { imageBytes: number; smallerImage: string; layerCount: number },
  ) {
    this.#registry = registry
    this.imageBytes = image.imageBytes
    this.smallerImage = image.smallerImage
    this.layerCount = image.layerCount
  }

  static async start(folder: string, layerBytes = LAYER_BYTES): Promise<TrialRegistry> {
    await mkdir(folder, { recursive: true })
    const layout = path.join(folder, 'layout')
    await run('umoci', 'init', '--layout', layout)
    await run('umoci', 'new', '--image', `${layout}:made`)
    let smallerImage = ''
    for (const [position, sizeBytes] of layerBytes.entries()) {
      const content = path.join(folder, `layer-${position}`)
      await mkdir(content)
      // Half of it can be compressed.
      const half = Math.floor(sizeBytes / 2)
      await writeFile(
        path.join(content, `file-${position}`),
        Buffer.concat([randomBytes(half), Buffer.alloc(half, 'text ')]),
      )
      await run('tar', '-C', content, '-cf', `${content}.tar`, '.')
      smallerImage = (await readLayout(layout)).entry.digest
      await run('umoci', 'raw', 'add-layer', '--image', `${layout}:made`, `${content}.tar`)
    }
    const { manifest, blobs } = await readLayout(layout)
    const trial: { registry?: TrialRegistry } = {}
    const registry = await startScriptedRegistry(layout, (request, response) => {
      if (request.url?.includes('/blobs/') !== true) return false
      const { range } = request.headers
      if (trial.registry !== undefined && range !== undefined) {
        if (range.endsWith('-')) trial.registry.resumed += 1
        else trial.registry.helped += 1
      }
      sendSlowly(blobs, request, response).catch((error) => response.destroy(error))
      return true
    })
    const imageBytes = manifest.layers.reduce((sum, { size }) => sum + size, 0)
    const layerCount = layerBytes.length
    trial.registry = new TrialRegistry(registry, { imageBytes, smallerImage, layerCount })
    return trial.registry
  }

  get reference(): string {
    return `${this.#registry.host}/web:made`
  }

  get smallerReference(): string {
    return `${this.#registry.host}/other@${this.smallerImage}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#registry[Symbol.asyncDispose]()
  }
}

async function sendSlowly(blobs: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const file = path.join(blobs, request.url?.split(':').at(-1) ?? '')
  const { size } = await stat(file)
  const [, first = 0, last = size - 1] = /^bytes=(\d+)-(\d+)?$/.exec(request.headers.range ?? '') ?? []
  const [start, end] = [Number(first), Number(last)]
  const range =
    request.headers.range === undefined ? undefined : { 'content-range': `bytes ${start}-${end}/${size}` }
  response.writeHead(range === undefined ? 200 : 206, { 'content-length': end - start + 1, ...range })
  const chunks: Buffer[] = []
  for await (const chunk of createReadStream(file, { start, end, highWaterMark: BURST_BYTES }))
    chunks.push(chunk)
  const timer = setInterval(() => {
    const chunk = chunks.shift()
    if (chunk !== undefined) response.write(chunk)
    if (chunks.length > 0) return
    clearInterval(timer)
    response.end()
  }, BURST_MS)
  response.on('close', () => clearInterval(timer))
}
