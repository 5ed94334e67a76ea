// How much memory and how many processors a guest gets, from what people type.
import { UsageError } from '../failure.ts'

const factors: Readonly<Record<string, number>> = {
  b: 1 / 1048576,
  k: 1 / 1024,
  m: 1,
  g: 1024,
  t: 1048576,
}

/** `512`, `512m`, `1g`, `1.5GiB`: MiB, rounded up. A number alone counts MiB. */
export function parseMemoryMiB(text: string): number {
  const [, number = '', unit = 'm'] = /^(\d+(?:\.\d+)?) ?([bkmgt])?(?:i?b)?$/i.exec(text) ?? []
  const memoryMiB = Math.ceil(Number(number) * (factors[unit.toLowerCase()] ?? Number.NaN))
  if (number === '' || memoryMiB === 0)
    throw new UsageError(`Cannot give a guest "${text}" of memory`, { hint: 'Write 512m, 1g or 1.5g.' })
  if (memoryMiB > 1048576)
    throw new UsageError(`Cannot give a guest ${text} of memory: 1 TiB is the most`, {
      hint: 'A number without a unit counts MiB: write 512m or 1g.',
    })
  return memoryMiB
}

export interface Cpus {
  readonly vcpus: number
  /** What the number was rounded from. */
  readonly roundedFrom?: number
}

/** `2` or `1.5`; virtual processors are whole, so a fraction is rounded up. */
export function parseCpus(text: string): Cpus {
  const asked = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN
  const vcpus = Math.ceil(asked)
  if (!(vcpus >= 1 && vcpus <= 128))
    throw new UsageError(`Cannot give a guest "${text}" processors`, {
      hint: 'Write a number from 1 to 128.',
    })
  return vcpus === asked ? { vcpus } : { vcpus, roundedFrom: asked }
}
