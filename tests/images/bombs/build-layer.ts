// The process of build-in-child.ts.

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { OciError } from '../../../core/oci/errors.ts'
import { buildFromFiles } from '../../../core/oci/segments/testing/build-from-files.ts'
import { EROFS } from '../../../core/oci/writers/erofs/erofs-format.ts'
import { squashfsFormat } from '../../../core/oci/writers/squashfs/squashfs-format.ts'
import type { ChildOutcome, ChildTask } from './build-in-child.ts'

const { layer, format, folder } = JSON.parse(process.argv[2] ?? '') as ChildTask
const began = performance.now()
const outcome = await build()
const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024)
const wallMs = Math.round(performance.now() - began)
process.stdout.write(JSON.stringify({ ...outcome, diskBytes: await diskBytes(folder), peakMiB, wallMs }))

async function build(): Promise<Omit<ChildOutcome, 'diskBytes' | 'peakMiB' | 'wallMs'>> {
  try {
    return await buildFromFiles({
      layers: [layer],
      output: join(folder, 'image'),
      segmentsFolder: join(folder, 'segments'),
      format: format === 'erofs' ? EROFS : squashfsFormat(),
    })
  } catch (error) {
    if (!(error instanceof OciError)) throw error
    const { code, message, data } = error
    return { code, message, which: String(data?.which ?? ''), entries: 0, uncompressedBytes: 0 }
  }
}

async function diskBytes(path: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(path, { recursive: true }))
    bytes += (await stat(join(path, name))).blocks * 512
  return bytes
}
