// What runs in a guest: the image's configuration and what was asked for, merged by docker's rules.
import type { GuestSpec, RunConfig } from '../api/methods.ts'
import { GuestError } from './errors.ts'
import type { ProcessRecord } from './guest-record.ts'

/**
 * An entrypoint that is given replaces the image's and drops the image's command; a command that is given
 * replaces the image's. Variables that are given win over the image's, place by place.
 */
export function planProcess(asked: GuestSpec['process'], image: RunConfig): ProcessRecord {
  const entrypoint = asked.entrypoint ?? image.entrypoint
  const command = asked.command ?? (asked.entrypoint === undefined ? image.command : [])
  const argv = [...entrypoint, ...command]
  if (argv.length === 0)
    throw new GuestError(
      'guest.no-command',
      'Cannot tell what to run: the image names no command and none was given',
      {
        hint: 'Give the command behind the image: bulkhead run IMAGE COMMAND.',
      },
    )
  return {
    argv,
    env: mergeEnvironment(image.env, asked.env),
    cwd: asked.cwd ?? (image.cwd === '' ? '/' : image.cwd),
    user: asked.user ?? image.user,
    groups: asked.groups,
    terminal: asked.terminal,
    stdin: asked.stdin,
    rows: asked.rows,
    columns: asked.columns,
  }
}

function mergeEnvironment(image: readonly string[], asked: readonly string[]): string[] {
  const merged = new Map<string, string>()
  for (const entry of [...image, ...asked]) {
    const equals = entry.indexOf('=')
    if (equals > 0) merged.set(entry.slice(0, equals), entry)
  }
  return [...merged.values()]
}
