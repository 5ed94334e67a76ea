import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { compressors, makeSmallKernel } from './kernel.fixture.ts'
import { decompressModule } from './module-file.ts'

const module = makeSmallKernel()
const files: Readonly<Record<string, Uint8Array>> = {
  '.ko': module,
  '.ko.gz': compressors.gzip(module),
  '.ko.zst': compressors.zstd(module),
  // As Fedora packs them: scripts/Makefile.modinst.
  '.ko.xz': execFileSync('xz', ['--check=crc32', '--lzma2=dict=1MiB', '-c'], { input: module }),
}

test.each(Object.entries(files))('decompressModule() gives the ELF bytes of a %s', async (_, bytes) => {
  expect(Buffer.compare(await decompressModule(new Uint8Array(bytes)), module)).toBe(0)
})

test('decompressModule() refuses what is not a module', async () => {
  await expect(decompressModule(new Uint8Array(Buffer.from('#!/bin/sh')))).rejects.toThrow(
    'neither an ELF file nor compressed',
  )
  const text = new Uint8Array(compressors.gzip(Buffer.from('hello')))
  await expect(decompressModule(text)).rejects.toThrow('the gzip data in it is not an ELF file')
})
