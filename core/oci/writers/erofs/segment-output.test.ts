import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SegmentOutput } from './segment-output.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'segment-output-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('what was appended and not taken back is in the file', async () => {
  const steps = fc.array(
    fc.record({
      size: fc.oneof(fc.integer({ min: 0, max: 9000 }), fc.integer({ min: 60_000, max: 1_500_000 })),
      /** How much of all is taken back afterwards, in thousandths of what the last step added. */
      back: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1000 })),
      waits: fc.boolean(),
    }),
    { maxLength: 30 },
  )
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const path = join(folder, 'file')
      await using file = await open(path, 'w+')
      const output = new SegmentOutput(file, 10)
      let expected = Buffer.alloc(10)
      for (const [index, { size, back, waits }] of all.entries()) {
        const bytes = Buffer.alloc(size, index + 1)
        output.append(bytes)
        expected = Buffer.concat([expected, bytes])
        expect(output.position).toBe(expected.length)
        if (waits) await output.ready()
        const kept = expected.length - Math.floor((size * back) / 1000)
        output.rewind(kept)
        expected = expected.subarray(0, kept) as Buffer<ArrayBuffer>
        expect(output.position).toBe(expected.length)
      }
      await output.flush()
      await file.truncate(output.position)
      expect((await readFile(path)).equals(expected)).toBe(true)
    }),
    { numRuns: 40 },
  )
})

test('a file that cannot be written to fails the next who waits', async () => {
  const path = join(folder, 'file')
  await writeFile(path, '')
  await using file = await open(path, 'r')
  const output = new SegmentOutput(file, 0)
  output.append(Buffer.alloc(2_000_000))
  await expect(output.flush()).rejects.toMatchObject({ code: 'EBADF' })
  await output.settle()
})
