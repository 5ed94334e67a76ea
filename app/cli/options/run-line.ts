// The command line of `bulkhead run`: its options, and the guest that they describe.
import { type Command, Option } from 'commander'
import type { ParamsOf } from '../../../core/api/methods.ts'
import { defaultDetachKeys } from '../attach/detach-keys.ts'
import type { TerminalSize } from '../attach/terminal-mode.ts'
import { describeExamples } from '../examples.ts'
import { UsageError } from '../failure.ts'
import { type RegistryOptions, registryOptions } from '../images/registry-options.ts'
import { collect } from '../verb-command.ts'
import { collectEnvironment } from './environment.ts'
import { parseLabels } from './labels.ts'
import { type NetworkOptions, networkOptions, readNetwork } from './network.ts'
import { parseCpus, parseMemoryMiB } from './resources.ts'

export interface RunOptions extends RegistryOptions, NetworkOptions {
  readonly detach: boolean
  readonly interactive: boolean
  readonly tty: boolean
  readonly rm: boolean
  readonly quiet: boolean
  readonly name?: string
  readonly env: readonly string[]
  readonly envFile: readonly string[]
  readonly memory?: string
  readonly cpus?: string
  readonly workdir?: string
  readonly user?: string
  readonly groupAdd: readonly string[]
  readonly hostname?: string
  readonly entrypoint?: string
  readonly label: readonly string[]
  readonly pull: 'missing' | 'always' | 'never'
  readonly platform?: string
  readonly readOnly: boolean
  readonly mode?: 'pv' | 'pvh'
  readonly kernelArg: readonly string[]
  readonly detachKeys: string
  readonly cidfile?: string
}

export interface RunLine {
  readonly options: RunOptions
  readonly spec: ParamsOf<'guests.create'>
  /** Sentences about what was understood differently than written. */
  readonly notes: readonly string[]
}

const none: readonly string[] = []

/** Adds the arguments, options and examples of `run`. */
export function configure(command: Command): void {
  command
    .usage('[options] IMAGE [COMMAND [ARGUMENT...]]')
    .argument('<image>')
    .argument('[command...]')
    .passThroughOptions()
    .helpOption('--help', 'show this help')
    .option('-d, --detach', 'start it, print its id, and do not wait for it', false)
    .option('-i, --interactive', 'pass standard input on to the program', false)
    .option('-t, --tty', 'give the program a terminal', false)
    .option('--rm', 'remove the guest when it has ended', false)
    .option('--name <name>', "the guest's name (default: an invented one)")
    .option('-e, --env <NAME=VALUE>', 'set a variable; NAME alone passes your own value on', collect, none)
    .option('--env-file <file>', 'set the variables in a file, one NAME=VALUE a line', collect, none)
    .option('-m, --memory <size>', 'memory: 512m, 1g; a number counts MiB (default: 512m)')
    .option('--cpus <number>', 'virtual processors (default: 1)')
    .option('-w, --workdir <path>', 'the folder that the program starts in')
    .option('-u, --user <user[:group]>', "run as a user of the image's, by name or number")
    .option('--group-add <group>', 'a further group of the user', collect, none)
    .option('-h, --hostname <name>', 'host name in the guest')
    .option('--entrypoint <program>', 'in place of the image\'s; "" for none')
    .option('-l, --label <key=value>', 'a label to find the guest by', collect, none)
    .addOption(
      new Option('--pull <when>', 'fetch the image: missing (default), always or never')
        .choices(['missing', 'always', 'never'])
        .default('missing'),
    )
    .option('--platform <os/arch[/variant]>', "of the image to fetch, in place of the host's own")
    .option('--read-only', "make the guest's root unwritable", false)
    .addOption(new Option('--mode <mode>', 'how Xen runs it: pv (default) or pvh').choices(['pv', 'pvh']))
    .option('--kernel-arg <argument>', "add to the kernel's command line", collect, none)
    .option(
      '--detach-keys <keys>',
      'keys that leave the guest running (default: ctrl-]); "" for none',
      defaultDetachKeys,
    )
    .option('--cidfile <file>', "write the guest's id to a new file")
    .option('-q, --quiet', 'no progress, no notes', false)
  registryOptions(networkOptions(command))
  for (const { flags, reason } of refused) command.addOption(refusing(flags, reason))
  describeExamples(
    command,
    [
      ['run --rm busybox echo hello', 'say hello and be gone'],
      ['run -it --rm busybox sh', 'a shell; leave it with exit, or with Ctrl-] and it goes on'],
      ['run --rm -i busybox sha256sum < FILE', 'data in, result out: a guest in a pipeline'],
      ['run -d --name web -m 1g --cpus 2 nginx', 'in the background; see "bulkhead logs web"'],
      ['run --rm -e LANG -e MODE=test busybox env', 'variables: your LANG, and one more'],
      ['run -d --name web -p 8080:80 nginx', 'http://localhost:8080 leads to port 80 of the guest'],
      [
        'run --rm --allow 10.1.0.0/16:443 --deny 10.0.0.0/8 busybox sh',
        'it may not go where it has no business',
      ],
    ],
    "The status is the program's own; 125 if Bulkhead failed, 126 if the program cannot be executed, 127 if it is\nnot there, 128+n if signal n ended it.",
  )
}

const fixedAddress = "a guest's addresses come from the host and stay with it"
const refused = [
  { flags: '--ip <address>', reason: fixedAddress },
  { flags: '--ip6 <address>', reason: fixedAddress },
  { flags: '--mac-address <address>', reason: fixedAddress },
  { flags: '--add-host <entry>', reason: 'guests get no entries for /etc/hosts yet' },
  { flags: '--link <guest>', reason: 'guests find each other without it, by NAME.guest' },
  { flags: '--network-alias <name>', reason: 'a guest has one name, NAME.guest' },
  { flags: '-v, --volume <volume>', reason: 'guests have no volumes yet' },
] as const

/** An option of docker's that cannot be had: better said than dropped in silence. */
function refusing(flags: string, reason: string): Option {
  const refuse = () => {
    throw new UsageError(`Cannot use ${flags.replace(/ <.*/, '').replace(', ', ' or ')}: ${reason}`, {
      hint: 'Leave the option out.',
    })
  }
  const option = new Option(flags).hideHelp()
  return option.isBoolean() ? option.preset('').argParser(refuse) : option.argParser(refuse)
}

/** Reads a parsed `run` line. Throws a UsageError. */
export function readRunLine(command: Command, caller: NodeJS.ProcessEnv, size: TerminalSize): RunLine {
  const [image = '', ...words] = command.args
  const options = command.opts<RunOptions>()
  const { name, hostname, entrypoint, workdir, user, mode } = options
  if (image === '') throw new UsageError('Cannot run nothing: the name of the image is empty')
  if (workdir !== undefined && !workdir.startsWith('/'))
    throw new UsageError(`Cannot start the program in "${workdir}": the path must begin with "/"`)
  const network = readNetwork(options)
  const cpus = options.cpus === undefined ? undefined : parseCpus(options.cpus)
  const notes =
    cpus?.roundedFrom === undefined
      ? []
      : [`Virtual processors are whole: ${cpus.roundedFrom} became ${cpus.vcpus}`]
  const spec: ParamsOf<'guests.create'> = {
    image,
    ...(name === undefined ? {} : { name }),
    ...(mode === undefined ? {} : { mode }),
    ...(options.memory === undefined ? {} : { memoryMiB: parseMemoryMiB(options.memory) }),
    ...(cpus === undefined ? {} : { vcpus: cpus.vcpus }),
    ...(hostname === undefined ? {} : { hostname }),
    process: {
      ...(words.length === 0 ? {} : { command: words }),
      ...(entrypoint === undefined ? {} : { entrypoint: entrypoint === '' ? [] : [entrypoint] }),
      env: collectEnvironment(options.envFile, options.env, caller),
      ...(workdir === undefined ? {} : { cwd: workdir }),
      ...(user === undefined ? {} : { user }),
      groups: [...options.groupAdd],
      terminal: options.tty,
      stdin: options.interactive,
      ...(options.tty ? size : {}),
    },
    kernelArguments: [...options.kernelArg],
    ...(network === undefined ? {} : { network }),
    readOnlyRoot: options.readOnly,
    autoRemove: options.rm,
    labels: parseLabels(options.label),
  }
  return { options, spec, notes }
}
