// The core host's command line. Its users are systemd, the app and the lab, not people.
import { parseArgs } from 'node:util'
import { defaultSocketPath } from '../api/wire.ts'
import { HostError } from './errors.ts'

export interface CoreHostOptions {
  readonly socketPath: string
  readonly stateFolder: string
  readonly runtimeFolder: string
  readonly logFolder: string
  readonly guestInitPath: string | undefined
  readonly kernelFolder: string | undefined
  /** Settings for registries; the system's when left out. */
  readonly registriesFile: string | undefined
  /** Settings for the guests' network; the system's when left out. */
  readonly networkFile: string | undefined
  /** Which file system guests boot from. */
  readonly rootImageFormat: 'squashfs' | 'erofs'
  readonly xenstoreTransport: 'auto' | 'socket' | 'device'
  /** A user who may do all: who started this core host from a source tree. */
  readonly ownerUid: number | undefined
  readonly lab: { readonly host: string; readonly port: number; readonly tokenFile: string } | undefined
}

export function parseOptions(args: readonly string[]): CoreHostOptions {
  let values: Partial<Record<string, string>>
  try {
    values = parseArgs({
      args: [...args],
      options: {
        listen: { type: 'string', default: defaultSocketPath },
        state: { type: 'string', default: '/var/lib/bulkhead' },
        'runtime-dir': { type: 'string', default: '/run/bulkhead' },
        'log-dir': { type: 'string', default: '/var/log/bulkhead' },
        'guest-init': { type: 'string' },
        'kernel-dir': { type: 'string' },
        registries: { type: 'string' },
        'network-settings': { type: 'string' },
        'root-image': { type: 'string', default: 'squashfs' },
        xenstore: { type: 'string', default: 'auto' },
        owner: { type: 'string' },
        'lab-listen': { type: 'string' },
        'lab-token-file': { type: 'string' },
      },
    }).values
  } catch (error) {
    throw new HostError(
      'host.bad-option',
      `Cannot start the core host: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
  return {
    socketPath: values.listen ?? '',
    stateFolder: values.state ?? '',
    runtimeFolder: values['runtime-dir'] ?? '',
    logFolder: values['log-dir'] ?? '',
    guestInitPath: values['guest-init'],
    kernelFolder: values['kernel-dir'],
    registriesFile: values.registries,
    networkFile: values['network-settings'],
    rootImageFormat: rootImageFormat(values['root-image'] ?? ''),
    xenstoreTransport: transport(values.xenstore ?? 'auto'),
    ownerUid: ownerUid(values.owner),
    lab: labOptions(values['lab-listen'], values['lab-token-file']),
  }
}

function transport(value: string): CoreHostOptions['xenstoreTransport'] {
  if (value === 'auto' || value === 'socket' || value === 'device') return value
  throw new HostError(
    'host.bad-option',
    `Cannot start the core host: --xenstore is "auto", "socket" or "device", not "${value}"`,
  )
}

function rootImageFormat(value: string): CoreHostOptions['rootImageFormat'] {
  if (value === 'squashfs' || value === 'erofs') return value
  throw new HostError(
    'host.bad-option',
    `Cannot start the core host: --root-image is "squashfs" or "erofs", not "${value}"`,
  )
}

function ownerUid(value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  if (/^\d{1,9}$/.test(value)) return Number(value)
  throw new HostError(
    'host.bad-option',
    `Cannot start the core host: --owner takes a user's number, not "${value}"`,
  )
}

function labOptions(listen: string | undefined, tokenFile: string | undefined): CoreHostOptions['lab'] {
  if (listen === undefined) return undefined
  const match = /^(.+):(\d{1,5})$/.exec(listen)
  if (match?.[1] === undefined || tokenFile === undefined)
    throw new HostError(
      'host.bad-option',
      'Cannot start the core host: --lab-listen takes HOST:PORT and needs --lab-token-file',
    )
  return { host: match[1], port: Number(match[2]), tokenFile }
}
