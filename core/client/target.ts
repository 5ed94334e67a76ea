// Which core host a client talks to: the one it was told, else the one of this dom0, else a running lab.
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { defaultSocketPath } from '../api/wire.ts'
import { clientError } from './core-error.ts'

export interface CoreTarget {
  /** `local`: this dom0; `lab`: a lab of this machine; `socket`: a path that somebody named. */
  readonly kind: 'local' | 'lab' | 'socket'
  readonly socketPath: string
  /** What a person calls it, in sentences. */
  readonly label: string
}

export interface ResolveTargetOptions {
  /** `unix:///PATH`, a path, `lab` or `lab:NAME`; wins over everything. */
  readonly host?: string | undefined
  /** Where `BULKHEAD_HOST` is looked up. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** The socket of the running lab with this name (the default lab without one), where there is one. */
  readonly findLab?: (name: string | undefined) => Promise<string | undefined> | string | undefined
  /** Where the local core host listens. */
  readonly localSocketPath?: string
  /** True on a Xen dom0; it is looked up where it is not given. */
  readonly isDom0?: () => boolean
}

/**
 * The core host to talk to: `host`, else `BULKHEAD_HOST`, else the one of this dom0, else a running lab.
 * Throws `client.bad-host`, `client.no-lab` or `client.no-host`; does not connect.
 */
export async function resolveTarget(options: ResolveTargetOptions = {}): Promise<CoreTarget> {
  const { environment = process.env, localSocketPath = defaultSocketPath, isDom0 = runsOnDom0 } = options
  const named = options.host ?? (environment.BULKHEAD_HOST || undefined)
  if (named !== undefined) return await namedTarget(named, options)
  if (existsSync(localSocketPath) || isDom0())
    return { kind: 'local', socketPath: localSocketPath, label: 'the core host of this machine' }
  const labSocket = await options.findLab?.(undefined)
  if (labSocket !== undefined) return { kind: 'lab', socketPath: labSocket, label: 'the lab' }
  throw clientError(
    'client.no-host',
    'There is no Xen host to talk to: this is no dom0 and no lab is running',
    {
      hint: 'Boot the built-in lab with "bulkhead lab up", or name a host with --host or BULKHEAD_HOST.',
    },
  )
}

/** True where Xen says that this machine is its control domain (Linux drivers/xen/xenfs/super.c). */
export function runsOnDom0(): boolean {
  try {
    return readFileSync('/proc/xen/capabilities', 'utf8').includes('control_d')
  } catch {
    return false
  }
}

async function namedTarget(named: string, { findLab }: ResolveTargetOptions): Promise<CoreTarget> {
  const lab = /^lab(?::([A-Za-z0-9][A-Za-z0-9_.-]*))?$/.exec(named)
  if (lab !== null) {
    const [, name] = lab
    const socketPath = await findLab?.(name)
    if (socketPath !== undefined)
      return { kind: 'lab', socketPath, label: name === undefined ? 'the lab' : `lab "${name}"` }
    const which = name === undefined ? 'The lab' : `Lab "${name}"`
    throw clientError('client.no-lab', `${which} is not running`, { hint: 'Boot it with "bulkhead lab up".' })
  }
  const path = named.startsWith('unix://') ? named.slice('unix://'.length) : named
  if (path.includes('/') && !path.includes('://'))
    return { kind: 'socket', socketPath: resolve(path), label: `the core host at ${path}` }
  throw clientError(
    'client.bad-host',
    `Cannot use host "${named}": it is none of unix:///PATH, a path, lab and lab:NAME`,
    { hint: 'A path in the current folder is written ./NAME.' },
  )
}
