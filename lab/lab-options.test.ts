import { expect, test } from 'vitest'
import { labOptions } from './lab-options.ts'

test('labOptions() completes what is left out', () => {
  expect(labOptions()).toEqual({ name: 'default', memoryMiB: 3072, dom0MemoryMiB: 1536, runsCore: true })
})

test.each([
  [{ name: '' }, 'Cannot call a lab ""'],
  [{ name: '-x' }, 'Cannot call a lab "-x"'],
  [{ name: 'a'.repeat(33) }, 'Cannot call a lab'],
  [{ name: '..' }, 'Cannot call a lab ".."'],
  [{ memoryMiB: Number.NaN }, 'Cannot use NaN MiB as the memory of the lab'],
  [{ memoryMiB: 1024.5 }, 'Cannot use 1024.5 MiB as the memory of the lab'],
  [{ memoryMiB: 2 ** 40 }, 'Cannot use 1099511627776 MiB as the memory of the lab'],
  [{ dom0MemoryMiB: 100 }, 'Cannot use 100 MiB as the memory of dom0'],
  [{ memoryMiB: 1024 }, 'Cannot give dom0 1536 MiB: the lab has 1024 MiB'],
])('labOptions() refuses %j with a sentence', (options, sentence) => {
  expect(() => labOptions(options)).toThrow(sentence)
})
