// The same image made by the tools that people use.
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Cost, measureScript, runTool } from './image-tools.ts'
import type { TestImage } from './test-image.ts'

export class PeerBuilds {
  readonly #folder: string
  readonly #image: TestImage

  constructor(folder: string, image: TestImage) {
    this.#folder = folder
    this.#image = image
  }

  /** The image that the full pipeline made last. */
  get squashfs(): string {
    return join(this.#folder, 'full.squashfs')
  }

  /** What the full pipeline unpacked last. */
  get rootFolder(): string {
    return join(this.#folder, 'rootfs')
  }

  /** Copies the image, unpacks its layers into a folder and packs the folder. */
  async fullPipeline(tag: 'image' | 'changed'): Promise<Cost> {
    const copy = join(this.#folder, 'copy')
    await this.#clean(copy, this.rootFolder, this.squashfs)
    return await measureScript(`
      skopeo --insecure-policy copy --quiet 'oci:${this.#image.layout}:${tag}' 'oci:${copy}:image'
      umoci raw unpack --image '${copy}:image' '${this.rootFolder}'
      mksquashfs '${this.rootFolder}' '${this.squashfs}' -comp zstd -Xcompression-level 1 -noappend -no-progress -quiet
    `)
  }

  /** Packs the image's files from one gzip tar: no layers, no digests. */
  async tarPipeline(): Promise<Cost> {
    const output = join(this.#folder, 'tar.squashfs')
    await this.#clean(output)
    return await measureScript(
      `gzip -dc '${this.#image.flatTar}' | tar2sqfs --quiet --force --compressor zstd --comp-extra level=1 '${output}'`,
    )
  }

  async #clean(...paths: readonly string[]): Promise<void> {
    await mkdir(this.#folder, { recursive: true })
    for (const path of paths) await rm(path, { recursive: true, force: true })
    await runTool('sync')
  }
}
