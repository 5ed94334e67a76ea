// How many bytes something may have, from what people type.
import { UsageError } from '../failure.ts'

const units: readonly string[] = ['', 'k', 'm', 'g']

/** `4096`, `512k`, `64m`, `1g`, `64MiB`: bytes, in units of 1024, within bounds. Throws a UsageError. */
export function parseByteSize(text: string, least: number, most: number): number {
  const [, number = '', unit = ''] = /^(\d+)([kmg]?)(?:i?b)?$/i.exec(text) ?? []
  const power = units.indexOf(unit.toLowerCase())
  const bytes = number === '' ? Number.NaN : Number(number) * 1024 ** power
  if (!(bytes >= least && bytes <= most))
    throw new UsageError(
      `Cannot use the size "${text}": write one from ${inUnits(least)} to ${inUnits(most)}`,
      {
        hint: 'Write 512k, 64m or 1g; a number alone counts bytes.',
      },
    )
  return bytes
}

function inUnits(bytes: number): string {
  const power = Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1)
  return `${bytes / 1024 ** power}${units[power] ?? ''}`
}
