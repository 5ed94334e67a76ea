// What segments are for: layers are compressed once, images take of them what they need, and none of it changes what the
// kernel shows.

import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { digestHex, parseDigest } from '../../core/oci/digest.ts'
import { readFileInPieces } from '../../core/oci/layer/open-layer.ts'
import { layerName } from '../../core/oci/layer/read-layer.ts'
import { directory, file, hardlink, type TarMember, tarOf } from '../../core/oci/layer/testing/tar-writer.ts'
import { LayerSegments } from '../../core/oci/segments/layer-segments.ts'
import { buildFromFiles, type LayerFile } from '../../core/oci/segments/testing/build-from-files.ts'
import { squashfsFormat } from '../../core/oci/writers/squashfs/squashfs-format.ts'
import { run } from './commands.ts'
import { describeTree, differences } from './support/manifest.ts'
import { withMounted } from './support/mounted-image.ts'
import { sha256, writeLayout } from './support/oci-layout.ts'
import { randomStack } from './support/random-stack.ts'

const KIB = 1024
const MIB = 1024 * KIB

let folder = ''
let segmentsFolder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'segments-test-'))
  segmentsFolder = join(folder, 'segments')
})
afterEach(() => rm(folder, { recursive: true }))

let layerCount = 0
async function layer(...members: readonly TarMember[]): Promise<LayerFile> {
  const tar = tarOf(members)
  const path = join(folder, `layer-${layerCount++}.tar`)
  await writeFile(path, tar)
  return { path, digest: sha256(tar), diffId: sha256(tar) }
}

let imageCount = 0
async function build(layers: readonly LayerFile[]): Promise<{ output: string; sizeBytes: number }> {
  const output = join(folder, `image-${imageCount++}`)
  return { output, ...(await buildFromFiles({ layers, output, segmentsFolder })) }
}

/** The segments and when each was written. */
async function segmentTimes(): Promise<Map<string, number>> {
  const names = await readdir(segmentsFolder)
  const times = names.map(async (name) => [name, (await stat(join(segmentsFolder, name))).mtimeMs] as const)
  return new Map(await Promise.all(times))
}

const segmentOf = async ({ diffId }: LayerFile) => {
  const name = (await readdir(segmentsFolder)).find((candidate) =>
    candidate.startsWith(digestHex(parseDigest(diffId))),
  )
  if (name === undefined) throw new Error(`layer ${diffId} has no segment`)
  return join(segmentsFolder, name)
}

const readOf = (image: string, path: string) => withMounted(image, (root) => readFile(join(root, path)))

describe('segments are used again', () => {
  test('when only the top layer changed, for all other layers, without reading these', async () => {
    const base = await layer(directory('d'), file('d/large', randomBytes(2 * MIB)))
    const middle = await layer(file('d/middle', 'middle'))
    await build([base, middle, await layer(file('top', 'one'))])
    const before = await segmentTimes()
    expect(before.size).toBe(3)
    // A layer that is read again would be missed.
    await rm(base.path)
    await rm(middle.path)
    const { output } = await build([base, middle, await layer(file('top', 'two'), file('d/.wh.middle'))])
    const after = await segmentTimes()
    expect(after.size).toBe(4)
    expect([...before].filter(([name, time]) => after.get(name) !== time)).toEqual([])
    await withMounted(output, async (root) => {
      expect(await readFile(join(root, 'top'), 'utf8')).toBe('two')
      expect(await readdir(join(root, 'd'))).toEqual(['large'])
    })
  })

  test('when they were damaged they are made again, and the image is the same', async () => {
    const layers = [
      await layer(
        directory('d'),
        file('d/large', randomBytes(1 * MIB)),
        file('d/text', 'text '.repeat(9000)),
      ),
      await layer(file('d/other', randomBytes(300 * KIB))),
    ]
    const first = await readFile((await build(layers)).output)
    const [lower, upper] = layers as [LayerFile, LayerFile]
    await truncate(await segmentOf(lower), 500_000)
    const garbage = await segmentOf(upper)
    await rm(garbage)
    await writeFile(garbage, randomBytes(200_000))
    const second = await readFile((await build(layers)).output)
    expect(second.equals(first)).toBe(true)
  })
})

describe('an image takes of its segments', () => {
  test('nothing of contents that upper layers hide', async () => {
    const hidden = randomBytes(3 * MIB)
    const lower = await layer(
      directory('d'),
      file('before', randomBytes(200 * KIB)),
      file('d/hidden', hidden),
      file('between', 'small and seen'),
      file('replaced', hidden.subarray(MIB)),
      file('after', randomBytes(200 * KIB)),
    )
    const upper = await layer(file('d/.wh.hidden'), file('replaced', 'by this'))
    const { output, sizeBytes } = await build([lower, upper])
    expect(sizeBytes).toBeLessThan(480 * KIB)
    const image = await readFile(output)
    for (const place of [0, MIB, 2 * MIB]) expect(image.indexOf(hidden.subarray(place, place + 64))).toBe(-1)
    expect((await readOf(output, 'between')).toString()).toBe('small and seen')
    const kept = await readOf((await build([lower])).output, 'after')
    expect((await readOf(output, 'after')).equals(kept)).toBe(true)
  })

  test('no fragment that holds nothing of the tree', async () => {
    const small = (count: number, name: string) =>
      Array.from({ length: count }, (_, index) => file(`${name}${index}`, randomBytes(60 * KIB)))
    const lower = await layer(directory('many'), ...small(20, 'many/'), ...small(2, 'kept'))
    const { output, sizeBytes } = await build([lower, await layer(file('many/.wh..wh..opq'))])
    expect(sizeBytes).toBeLessThan(3 * 128 * KIB)
    expect(await readOf(output, 'kept0')).toHaveLength(60 * KIB)
  })

  test('contents once that several layers have, large and small ones alike', async () => {
    const shared = randomBytes(1 * MIB + 50 * KIB)
    const small = randomBytes(40 * KIB)
    const unlike = () => file('unlike', randomBytes(200 * KIB))
    const one = await layer(file('one', shared), file('small-one', small))
    const two = await layer(unlike(), file('small-two', small), file('two', shared))
    const three = await layer(file('three', shared), hardlink('link', 'two'))
    const alone = await build([one, await layer(unlike())])
    const { output, sizeBytes } = await build([one, two, three])
    expect(sizeBytes - alone.sizeBytes).toBeLessThan(16 * KIB)
    await withMounted(output, async (root) => {
      for (const name of ['one', 'two', 'three', 'link'])
        expect((await readFile(join(root, name))).equals(shared), name).toBe(true)
      for (const name of ['small-one', 'small-two'])
        expect((await readFile(join(root, name))).equals(small), name).toBe(true)
    })
  })

  test('contents of the same shape that differ, each by itself', async () => {
    const contents = Array.from({ length: 3 }, () => randomBytes(256 * KIB))
    const layers = await Promise.all(contents.map((content, index) => layer(file(`f${index}`, content))))
    const { output } = await build(layers)
    for (const [index, content] of contents.entries())
      expect((await readOf(output, `f${index}`)).equals(content)).toBe(true)
  })

  test('what lives on under another name when the first one is hidden', async () => {
    const content = randomBytes(300 * KIB)
    const lower = await layer(file('first', content))
    const { output } = await build([
      lower,
      await layer(hardlink('second', 'first')),
      await layer(file('.wh.first')),
    ])
    expect((await readOf(output, 'second')).equals(content)).toBe(true)
  })
})

describe('the same layers make the same bytes', () => {
  test('whatever the order in which they arrive', async () => {
    const shared = randomBytes(400 * KIB)
    const layers = await Promise.all(
      Array.from({ length: 5 }, (_, index) =>
        layer(
          file(`f${index}`, randomBytes(90_000 * index)),
          file(`same${index}`, shared),
          file('name', `${index}`),
        ),
      ),
    )
    const images: Buffer[] = []
    const format = squashfsFormat()
    for (const order of [
      [0, 1, 2, 3, 4],
      [4, 3, 2, 1, 0],
      [2, 4, 0, 3, 1],
    ]) {
      await rm(segmentsFolder, { recursive: true, force: true })
      {
        await using segments = await LayerSegments.open({ folder: segmentsFolder, format })
        for (const position of order) {
          const { path, digest, diffId } = layers[position] as LayerFile
          const arriving = {
            digest: parseDigest(digest),
            diffId: parseDigest(diffId),
            name: layerName(position + 1, digest),
          }
          await using _opened = await segments.ensure(arriving, () => readFileInPieces(path))
        }
      }
      images.push(await readFile((await build(layers)).output))
    }
    expect(images.map((image) => image.equals(images[0] as Buffer))).toEqual([true, true, true])
  })

  test('also when another image has used them before', async () => {
    const layers = [await layer(file('a', randomBytes(MIB))), await layer(file('b', randomBytes(MIB)))]
    const alone = await readFile((await build(layers)).output)
    await build([...layers, await layer(file('.wh.a'), file('c', randomBytes(MIB)))])
    await build([...layers].reverse())
    expect((await readFile((await build(layers)).output)).equals(alone)).toBe(true)
  })
})

test('an image of 130 layers is the same as umoci makes it', async () => {
  const stack = Array.from({ length: 130 }, (_, index) => [
    ...(index === 0 ? [directory('./', { mtime: 1 }), directory('d', { mtime: 2 })] : []),
    file(`d/${index % 50}`, randomBytes(1000 * (index % 7) + 131_000 * (index % 3)), { mtime: index }),
    ...(index % 9 === 8 ? [file(`d/.wh.${(index * 7) % 50}`), directory('d', { mtime: index })] : []),
  ])
  const layout = join(folder, 'layout')
  const layers = await writeLayout(layout, stack.map(tarOf))
  const { output } = await build(layers)
  const rootfs = join(folder, 'rootfs')
  await run('umoci', 'raw', 'unpack', '--image', `${layout}:latest`, rootfs)
  const [ours, umoci] = [await withMounted(output, describeTree), describeTree(rootfs)]
  for (const view of [ours, umoci]) view.delete('./d')
  expect(ours.size).toBeGreaterThan(30)
  expect(differences(ours, umoci)).toEqual([])
})

test('random stacks built over the segments of each other are the same as built alone', async () => {
  for (let seed = 100; seed < 110; seed++) {
    const layers = await Promise.all(randomStack(seed).map((members) => layer(...members)))
    const shared = await readFile((await build(layers)).output)
    const alone = join(folder, 'alone')
    await buildFromFiles({ layers, output: alone })
    expect((await readFile(alone)).equals(shared), `seed ${seed}`).toBe(true)
  }
})

test('a full disk leaves neither image nor half a segment', async () => {
  const disk = join(folder, 'disk')
  await mkdir(disk)
  await run('mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', disk)
  try {
    const layers = [
      await layer(file('a', randomBytes(1 * MIB))),
      await layer(file('b', randomBytes(4 * MIB))),
    ]
    const building = buildFromFiles({
      layers,
      output: join(disk, 'image'),
      segmentsFolder: join(disk, 'segments'),
    })
    await expect(building).rejects.toMatchObject({ code: 'oci.no-space' })
    expect(await readdir(disk)).toEqual(['segments'])
    const left = await readdir(join(disk, 'segments'))
    expect(left.filter((name) => name.includes('.tmp-'))).toEqual([])
  } finally {
    await run('umount', disk)
  }
})
