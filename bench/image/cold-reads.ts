// How fast the kernel reads an image that is not in memory: all of it in order, and small pieces here and there.
import { closeSync, lstatSync, openSync, readdirSync, readSync, writeFileSync } from 'node:fs'
import { mkdtemp, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { measureScript, runTool } from './image-tools.ts'

const randomReads = 3000
const pieceBytes = 4096

export interface ColdRead {
  readonly sequentialSeconds: number
  readonly randomSeconds: number
}

/** Mounts the image twice, each time with cold caches. The same tree gets the same reads. */
export async function readCold(image: string, type: 'squashfs' | 'erofs'): Promise<ColdRead> {
  const root = await mkdtemp(join(tmpdir(), 'cold-read-'))
  try {
    const sequentialSeconds = await mounted(image, type, root, async () => {
      const { wallSeconds } = await measureScript(`tar -C '${root}' -cf - . | cat > /dev/null`)
      return wallSeconds
    })
    const places = await mounted(image, type, root, () => randomPlaces(root))
    const randomSeconds = await mounted(image, type, root, () => {
      const start = performance.now()
      for (const { path, offset } of places) readPiece(path, offset)
      return (performance.now() - start) / 1000
    })
    return { sequentialSeconds, randomSeconds }
  } finally {
    await rmdir(root)
  }
}

async function mounted<Result>(
  image: string,
  type: string,
  root: string,
  use: () => Promise<Result> | Result,
): Promise<Result> {
  await runTool('mount', '-t', type, '-o', 'loop,ro', image, root)
  try {
    await runTool('sync')
    writeFileSync('/proc/sys/vm/drop_caches', '3')
    return await use()
  } finally {
    await runTool('umount', root)
  }
}

/** Places in files, larger files more often; always the same ones for the same tree. */
function randomPlaces(root: string): { path: string; offset: number }[] {
  const files: { path: string; start: number; sizeBytes: number }[] = []
  let totalBytes = 0
  for (const path of filesBelow(root)) {
    const { size } = lstatSync(path)
    if (size < pieceBytes) continue
    files.push({ path, start: totalBytes, sizeBytes: size })
    totalBytes += size
  }
  let state = 1
  return Array.from({ length: randomReads }, () => {
    // A linear congruential generator: what matters is that it is the same for all images.
    state = (state * 48_271) % 0x7fff_ffff
    const place = (state / 0x7fff_ffff) * totalBytes
    const file = files.findLast(({ start }) => start <= place)
    if (file === undefined) throw new Error(`there are no files in ${root}`)
    const offset = Math.min(place - file.start, file.sizeBytes - pieceBytes)
    return { path: file.path, offset: Math.floor(offset / pieceBytes) * pieceBytes }
  })
}

function filesBelow(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true })
  const sorted = entries.sort((one, other) => (one.name < other.name ? -1 : 1))
  return sorted.flatMap((entry) => {
    const path = join(folder, entry.name)
    return entry.isDirectory() ? filesBelow(path) : entry.isFile() ? [path] : []
  })
}

function readPiece(path: string, offset: number): void {
  const file = openSync(path, 'r')
  try {
    if (readSync(file, Buffer.alloc(pieceBytes), 0, pieceBytes, offset) === 0)
      throw new Error(`${path} ends before ${offset}`)
  } finally {
    closeSync(file)
  }
}
