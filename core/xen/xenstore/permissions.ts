// Who may do what with a xenstore node. Careful: on the wire the first entry names the owner, and its letter is
// the right of everybody else, not the owner's (who may do all). `b5` alone would let every guest write.
// Source: docs/misc/xenstore.txt, GET_PERMS and SET_PERMS.
import { DOM0, type DomainId, domainId } from '../domain-id.ts'
import { XenError } from '../errors.ts'

export type Access = 'none' | 'read' | 'write' | 'both'

export interface Permissions {
  /** May read, write and change the permissions. Dom0 always may. */
  readonly owner: DomainId
  /** The right of every domain that is not listed. */
  readonly others: Access
  readonly grants: readonly Grant[]
}

export interface Grant {
  readonly domid: DomainId
  readonly access: Access
}

/** Dom0's alone (`n0`). */
export const dom0Only: Permissions = { owner: DOM0, others: 'none', grants: [] }

/** Dom0's, and one domain may read it (`n0,r<domid>`). */
export function readableBy(domid: DomainId): Permissions {
  return { owner: DOM0, others: 'none', grants: [{ domid, access: 'read' }] }
}

/** A guest's own (`n<domid>`): it may write what it likes there, so whatever is read from it is hostile. */
export function ownedBy(domid: DomainId): Permissions {
  return { owner: domid, others: 'none', grants: [] }
}

/** A device's frontend half (`n<domid>,r0`): the guest's own, and the backend in dom0 reads it. */
export function frontendOf(domid: DomainId, backend: DomainId = DOM0): Permissions {
  return { owner: domid, others: 'none', grants: [{ domid: backend, access: 'read' }] }
}

const letters: Readonly<Record<Access, string>> = { none: 'n', read: 'r', write: 'w', both: 'b' }

/** The wire's strings: `n0`, `r5`. */
export function encodePermissions({ owner, others, grants }: Permissions): readonly string[] {
  return [`${letters[others]}${owner}`, ...grants.map(({ domid, access }) => `${letters[access]}${domid}`)]
}

/** Throws XenError for what is not a list of permissions. */
export function decodePermissions(entries: readonly string[]): Permissions {
  const [first, ...rest] = entries.map(decodeEntry)
  if (first === undefined) throw badPermissions('')
  return { owner: first.domid, others: first.access, grants: rest }
}

function decodeEntry(entry: string): Grant {
  const match = /^([nrwb])([0-9]{1,5})$/.exec(entry)
  const access = accessOf(match?.[1])
  if (match === null || access === undefined) throw badPermissions(entry)
  return { domid: domainId(Number(match[2])), access }
}

function accessOf(letter: string | undefined): Access | undefined {
  for (const access of ['none', 'read', 'write', 'both'] as const) {
    if (letters[access] === letter) return access
  }
  return undefined
}

function badPermissions(entry: string): XenError {
  return new XenError(
    'xenstore-protocol',
    `Cannot understand the permission ${JSON.stringify(entry)} from xenstored`,
  )
}
