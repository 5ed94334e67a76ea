import { describe, expect, it } from 'vitest'
import { UsageError } from '../failure.ts'
import { parseCpus, parseMemoryMiB } from './resources.ts'

describe('parseMemoryMiB()', () => {
  it.each([
    ['512', 512],
    ['512m', 512],
    ['512M', 512],
    ['512MiB', 512],
    ['512mb', 512],
    ['1g', 1024],
    ['1.5g', 1536],
    ['1t', 1048576],
    ['600000k', 586],
    ['536870912b', 512],
  ])('reads %j as %i MiB', (text, memoryMiB) => {
    expect(parseMemoryMiB(text)).toBe(memoryMiB)
  })

  it.each(['', '0', 'm', '-1', '1x', '1e3', '1 2', '536870912', '2t'])('refuses %j', (text) => {
    expect(() => parseMemoryMiB(text)).toThrow(UsageError)
  })
})

describe('parseCpus()', () => {
  it.each([
    ['1', { vcpus: 1 }],
    ['4', { vcpus: 4 }],
    ['2.0', { vcpus: 2 }],
    ['1.5', { vcpus: 2, roundedFrom: 1.5 }],
    ['.5', { vcpus: 1, roundedFrom: 0.5 }],
  ])('reads %j', (text, cpus) => {
    expect(parseCpus(text)).toEqual(cpus)
  })

  it.each(['', '0', '-1', 'two', '129', '1e2'])('refuses %j', (text) => {
    expect(() => parseCpus(text)).toThrow(UsageError)
  })
})
