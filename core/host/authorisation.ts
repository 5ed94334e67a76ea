// Who may do what, decided from peer credentials before anything else is read. DESIGN 4.1: root and the group
// `bulkhead` may do all; others are asked about through polkit, and refused where there is none.
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { access, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { HostError } from './errors.ts'

export interface Peer {
  readonly pid: number
  readonly uid: number
  readonly gid: number
}

/** `manage`: everything. `view`: what changes nothing. */
export type Role = 'manage' | 'view'

export interface AuthorisationFiles {
  readonly passwd: string
  readonly group: string
  readonly pkcheck: string
}

const systemFiles: AuthorisationFiles = {
  passwd: '/etc/passwd',
  group: '/etc/group',
  pkcheck: '/usr/bin/pkcheck',
}
const groupName = 'bulkhead'
const run = promisify(execFile)

/** The role of `peer`; throws `host.not-allowed` with what would help where it has none. */
export async function authorise(peer: Peer, files: AuthorisationFiles = systemFiles): Promise<Role> {
  if (peer.uid === 0 || isInGroup(peer, files)) return 'manage'
  const hasPolkit = await access(files.pkcheck).then(
    () => true,
    () => false,
  )
  if (hasPolkit) {
    const startTime = await processStartTime(peer.pid)
    if (startTime !== undefined) {
      const subject = `${peer.pid},${startTime},${peer.uid}`
      for (const role of ['manage', 'view'] as const) {
        if (await isAllowedByPolkit(files.pkcheck, role, subject)) return role
      }
    }
  }
  throw new HostError('host.not-allowed', `User ${peer.uid} may not use Bulkhead on this host`, {
    hint: `As root: adduser ${userName(peer.uid, files) ?? 'USER'} ${groupName}, then log in again.`,
  })
}

function isInGroup(peer: Peer, files: AuthorisationFiles): boolean {
  const line = read(files.group)
    .split('\n')
    .map((entry) => entry.split(':'))
    .find(([name]) => name === groupName)
  if (line === undefined) return false
  const [, , gid, members = ''] = line
  if (gid !== undefined && gid !== '' && Number(gid) === peer.gid) return true
  const name = userName(peer.uid, files)
  return name !== undefined && members.split(',').includes(name)
}

function userName(uid: number, files: AuthorisationFiles): string | undefined {
  for (const line of read(files.passwd).split('\n')) {
    const [name, , id] = line.split(':')
    if (id !== undefined && id !== '' && Number(id) === uid) return name
  }
  return undefined
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // No such file: then nobody is in it.
    return ''
  }
}

/** Field 22 of /proc/PID/stat (proc(5)): with it a recycled pid cannot pass for the caller. */
async function processStartTime(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    // The caller is gone already; nobody is left to be allowed anything.
    return undefined
  }
}

async function isAllowedByPolkit(pkcheck: string, role: Role, subject: string): Promise<boolean> {
  const args = ['--action-id', `org.bulkhead.${role}`, '--process', subject, '--allow-user-interaction']
  return await run(pkcheck, args, { timeout: 120_000 }).then(
    () => true,
    () => false,
  )
}
