// The thread and its messages, by what needs no Xen: getting kernels ready.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BulkheadError } from '../../errors.ts'
import { compressors, makeBzImage, makeElf, makeSmallKernel } from '../kernel/kernel.fixture.ts'
import { prepareKernel } from './domain-builder.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-builder-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

const place = async (name: string, bytes: Uint8Array) => {
  const kernelPath = join(folder, name)
  await writeFile(kernelPath, bytes)
  return { kernelPath, kernelCacheDir: join(folder, 'cache') }
}

describe('prepareKernel()', () => {
  test('unpacks a kernel once for all who ask at the same time', async () => {
    const kernel = await place('vmlinuz', makeBzImage(compressors.gzip(makeSmallKernel())))
    await Promise.all([prepareKernel(kernel), prepareKernel(kernel), prepareKernel(kernel)])
    expect(await readdir(kernel.kernelCacheDir)).toHaveLength(1)
  })

  test('passes errors on with their code, sentence and hint, and goes on working', async () => {
    const error = await prepareKernel(await place('text', Buffer.from('hello'))).catch(
      (cause: unknown) => cause,
    )
    expect(error).toBeInstanceOf(BulkheadError)
    expect(error).toMatchObject({
      code: 'kernel.not-a-kernel',
      message: 'Cannot use kernel image: it is neither an ELF file nor a bzImage nor compressed',
      hint: expect.stringContaining('vmlinuz'),
    })
    await prepareKernel(await place('vmlinux', makeSmallKernel()))
  })

  test('refuses a kernel whose entry point lies outside of it', async () => {
    const segments = [{ physicalAddress: 0x1000000n, data: new Uint8Array(64) }]
    const notes = [
      { type: 1, value: { number: 0xffffffff81000040n, sizeBytes: 8 } },
      { type: 3, value: { number: 0xffffffff80000000n, sizeBytes: 8 } },
    ] as const
    await expect(prepareKernel(await place('vmlinux', makeElf({ segments, notes })))).rejects.toMatchObject({
      code: 'build.unusable-kernel',
    })
  })

  test('ends with the reason of the signal', async () => {
    const kernel = await place('vmlinuz', makeBzImage(compressors.gzip(makeSmallKernel(4 << 20))))
    const controller = new AbortController()
    const preparing = prepareKernel(kernel, { signal: controller.signal })
    controller.abort(new Error('changed my mind'))
    await expect(preparing).rejects.toThrow('changed my mind')
    await expect(prepareKernel(kernel, { signal: controller.signal })).rejects.toThrow('changed my mind')
  })
})
