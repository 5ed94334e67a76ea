// `bulkhead image verify`: looks for signatures of an image in its registry and checks them.
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { CliError } from '../failure.ts'
import {
  credentialsHelp,
  type RegistryOptions,
  registryAccess,
  registryOptions,
} from '../images/registry-options.ts'
import { printLines } from '../output/print-lines.ts'
import { collect } from '../verb-command.ts'

interface Options extends RegistryOptions {
  readonly key: readonly string[]
  readonly json: boolean
}

export function configure(command: Command): void {
  command
    .argument('<image>', 'a name, an id, or the beginning of an id')
    .option(
      '--key <file>',
      'a public key (PEM), as "cosign generate-key-pair" makes it; any of several',
      collect,
      [],
    )
    .option('--json', 'print JSON', false)
  registryOptions(command)
  describeExamples(
    command,
    [
      ['image verify --key cosign.pub ghcr.io/owner/app:1', 'with a key'],
      ['image verify app', "with the keys that the host's settings have for the registry"],
    ],
    `Ends with 1 where no signature is good.\n\n${credentialsHelp}`,
  )
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const [image = ''] = command.args
  const options = command.opts<Options>()
  const keys = await Promise.all(options.key.map(readKey))
  return await context.interruptible(async (signal) => {
    const client = await context.connect()
    const access = await registryAccess(context, await registryName(context, image), options, { signal })
    const params = { image, ...(keys.length === 0 ? {} : { keys }), ...access }
    const verified = await client.request('images.verify', params, { signal })
    if (options.json) await context.printJson(verified)
    else
      await printLines(context, [
        `${verified.reference}: signed (${verified.digest})`,
        ...verified.signatures.map(
          ({ format, keyId, signedReference }) =>
            `  ${format} by key ${keyId}${signedReference === undefined ? '' : ` as ${signedReference}`}`,
        ),
      ])
    return 0
  })
}

/** The name by which credentials are looked up: of an image that is here, its own, whatever it was called by. */
async function registryName(context: CliContext, image: string): Promise<string> {
  const client = await context.connect()
  return await client.request('images.inspect', { image }).then(
    ({ reference }) => reference,
    () => image,
  )
}

async function readKey(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new CliError('cli.file', `Cannot read the key ${path}: ${error.message}`, { cause: error })
  })
  if (text.includes('PRIVATE KEY'))
    throw new CliError('cli.file', `Cannot check signatures with ${path}: it is a private key`, {
      hint: 'Name the public one beside it, cosign.pub.',
    })
  if (!text.includes('-----BEGIN '))
    throw new CliError('cli.file', `Cannot check signatures with ${path}: it is no PEM file`)
  return text
}
