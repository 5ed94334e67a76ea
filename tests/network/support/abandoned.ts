// What test runs that were killed could not remove themselves: namespaces, and engines, which outlive whoever starts them.
// Both carry the number of the test's process in their names.
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './program.ts'

const NAMESPACES = '/run/netns'
export const NAMESPACE_PREFIX = 'bh-test'
export const ENGINE_PREFIX = join(tmpdir(), 'net-engine')

/** Removes what belongs to processes that are gone. */
export async function removeAbandoned(): Promise<void> {
  for (const pid of readdirSync('/proc')) {
    const folder = engineFolder(pid)
    if (folder === undefined) continue
    process.kill(Number(pid), 'SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  const names = existsSync(NAMESPACES) ? readdirSync(NAMESPACES) : []
  for (const name of names)
    if (isAbandoned(new RegExp(`^${NAMESPACE_PREFIX}-(\\d+)-`).exec(name)?.[1]))
      await run('ip', 'netns', 'del', name)
}

/** The folder of the abandoned engine that this process is; undefined where it is none. */
function engineFolder(pid: string): string | undefined {
  if (!/^\d+$/.test(pid)) return undefined
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    const socket = words.find((word) => word.startsWith(`--socket=${ENGINE_PREFIX}-`))
    const match = new RegExp(`^--socket=(${ENGINE_PREFIX}-(\\d+)-[^/]+)/`).exec(socket ?? '')
    return isAbandoned(match?.[2]) ? match?.[1] : undefined
  } catch {
    // It has ended since the folder was read.
    return undefined
  }
}

function isAbandoned(owner: string | undefined): boolean {
  return owner !== undefined && !existsSync(`/proc/${owner}`)
}
