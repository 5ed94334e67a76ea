// The launch form without its looks: what it begins with, what is wrong with it, the spec it stands for, and the
// same as a command.
import type { ImageDetails, ParamsOf } from '../../../core/api/methods.ts'
import { text } from '../text/en.ts'
import { shortReference } from '../text/units.ts'
import { parsePorts, portOption } from './published-ports.ts'
import { joinWords, quoteWord, splitWords } from './shell-words.ts'

export interface Variable {
  readonly name: string
  readonly value: string
}

export interface LaunchForm {
  readonly image: string
  readonly name: string
  /** As typed; words are split by the shell's rules. */
  readonly command: string
  readonly variables: readonly Variable[]
  readonly memoryMiB: string
  readonly vcpus: string
  readonly terminal: boolean
  readonly autoRemove: boolean
  readonly network: boolean
  /** As typed: `8080:80 5353:53/udp`. */
  readonly ports: string
}

/** What of an image's configuration the form is prefilled with, and compared to. */
export type ImageDefaults = Pick<ImageDetails['run'], 'command' | 'env' | 'entrypoint'>

export const noDefaults: ImageDefaults = { command: [], env: [], entrypoint: [] }

export const emptyForm: LaunchForm = {
  image: '',
  name: '',
  command: '',
  variables: [],
  memoryMiB: '512',
  vcpus: '1',
  terminal: true,
  autoRemove: false,
  network: true,
  ports: '',
}

/** The form after an image was chosen: what the image says, with what the person set about the machine kept. */
export function prefilled(form: LaunchForm, image: string, defaults: ImageDefaults): LaunchForm {
  return {
    ...form,
    image,
    command: joinWords(defaults.command),
    variables: defaults.env.map((assignment) => {
      const equals = assignment.indexOf('=')
      return { name: assignment.slice(0, equals), value: assignment.slice(equals + 1) }
    }),
  }
}

export type Problems = {
  readonly [K in 'image' | 'name' | 'command' | 'variables' | 'memoryMiB' | 'vcpus' | 'ports']?:
    | string
    | undefined
}

/** What is wrong with each field; an empty object where the form can be sent. The core host checks again. */
export function problemsOf(form: LaunchForm): Problems {
  const problems = text.launch.problems
  const isNamed = form.name === '' || /^[a-z0-9][a-z0-9_.-]{0,62}$/.test(form.name)
  const isVariable = ({ name, value }: Variable) => /^[^=\0]+$/.test(name) && !value.includes('\0')
  const found = {
    image: form.image === '' ? problems.image : undefined,
    name: isNamed ? undefined : problems.name,
    command: splitWords(form.command) === undefined ? problems.command : undefined,
    variables: form.variables.every((one) => isBlank(one) || isVariable(one)) ? undefined : problems.variable,
    memoryMiB: isWithin(form.memoryMiB, 64, 1048576) ? undefined : problems.memory,
    vcpus: isWithin(form.vcpus, 1, 128) ? undefined : problems.vcpus,
    ports: !form.network || parsePorts(form.ports) !== undefined ? undefined : problems.ports,
  }
  return Object.fromEntries(Object.entries(found).filter(([, problem]) => problem !== undefined))
}

/** The spec for `guests.create`: only what differs from the image's own configuration. */
export function specOf(form: LaunchForm, defaults: ImageDefaults): ParamsOf<'guests.create'> {
  const words = splitWords(form.command) ?? []
  const isOwnCommand = joinWords(words) === joinWords(defaults.command)
  const known = new Set(defaults.env)
  const env = form.variables
    .filter((one) => !isBlank(one))
    .map(({ name, value }) => `${name}=${value}`)
    .filter((assignment) => !known.has(assignment))
  const ports = parsePorts(form.ports) ?? []
  return {
    image: form.image,
    ...(form.name === '' ? {} : { name: form.name }),
    memoryMiB: Number(form.memoryMiB),
    vcpus: Number(form.vcpus),
    autoRemove: form.autoRemove,
    ...(form.network ? (ports.length === 0 ? {} : { network: { ports } }) : { network: { kind: 'none' } }),
    process: {
      ...(isOwnCommand ? {} : { command: [...words] }),
      env,
      terminal: form.terminal,
      stdin: form.terminal,
    },
  }
}

/** The same launch from a shell. */
export function commandOf(spec: ParamsOf<'guests.create'>): string {
  const { process, memoryMiB, vcpus, network } = spec
  const options = [
    process?.terminal ? '-it' : '-d',
    spec.autoRemove ? '--rm' : undefined,
    spec.name === undefined ? undefined : `--name ${spec.name}`,
    ...(process?.env ?? []).map((assignment) => `-e ${quoteWord(assignment)}`),
    memoryMiB === undefined || memoryMiB === 512 ? undefined : `-m ${memoryMiB}m`,
    vcpus === undefined || vcpus === 1 ? undefined : `--cpus ${vcpus}`,
    network?.kind === 'none' ? '--network none' : undefined,
    ...(network?.ports ?? []).map(portOption),
  ].filter((option) => option !== undefined)
  const image = spec.image === '' ? 'IMAGE' : quoteWord(shortReference(spec.image))
  const command = process?.command === undefined ? [] : [joinWords(process.command)]
  return ['bulkhead run', ...options, image, ...command].join(' ')
}

const isBlank = ({ name, value }: Variable): boolean => name === '' && value === ''

function isWithin(value: string, least: number, most: number): boolean {
  return /^\d+$/.test(value.trim()) && Number(value) >= least && Number(value) <= most
}
