// What a lab can be told, its defaults, and one sentence for each wrong value.

import { LabError } from './errors.ts'

export interface LabOptions {
  readonly name: string
  /** All of the machine's memory: Xen, dom0 and guests. */
  readonly memoryMiB: number
  readonly dom0MemoryMiB: number
  /** Whether the core host is started in dom0 and waited for. */
  readonly runsCore: boolean
}

export const defaultLabName = 'default'
const defaults: LabOptions = { name: defaultLabName, memoryMiB: 3072, dom0MemoryMiB: 1536, runsCore: true }

const leastDom0MiB = 512
/** Xen's own share and the smallest guest. */
const leastRestMiB = 256
const mostMiB = 1024 * 1024

/** Completes and checks options; throws `lab.option`. */
export function labOptions(given: Partial<LabOptions> = {}): LabOptions {
  const options = { ...defaults, ...given }
  checkLabName(options.name)
  checkMiB('the memory of the lab', options.memoryMiB, leastDom0MiB + leastRestMiB)
  checkMiB('the memory of dom0', options.dom0MemoryMiB, leastDom0MiB)
  if (options.dom0MemoryMiB + leastRestMiB > options.memoryMiB) {
    throw new LabError(
      'lab.option',
      `Cannot give dom0 ${options.dom0MemoryMiB} MiB: the lab has ${options.memoryMiB} MiB and Xen and guests need ${leastRestMiB} MiB`,
      { hint: `Use at most ${options.memoryMiB - leastRestMiB} MiB for dom0, or more memory for the lab.` },
    )
  }
  return options
}

export function checkLabName(name: string): void {
  if (/^[a-z0-9][a-z0-9_.-]{0,31}$/.test(name)) return
  throw new LabError('lab.option', `Cannot call a lab ${JSON.stringify(name)}`, {
    hint: 'A name is up to 32 lower-case letters, digits, dots, dashes and underscores, and begins with a letter or digit.',
  })
}

function checkMiB(what: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least && value <= mostMiB) return
  throw new LabError(
    'lab.option',
    `Cannot use ${value} MiB as ${what}: it is a whole number from ${least} to ${mostMiB}`,
  )
}
