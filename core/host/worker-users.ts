// The users of the processes that parse foreign bytes: each owns what is its own and nothing else. DESIGN 2.
import { readFileSync } from 'node:fs'

/** Where the package's users do not exist (the lab, a source tree): numbers that nobody else has. */
const users = {
  images: { name: 'bulkhead-images', fallbackId: 64_917 },
  network: { name: 'bulkhead-net', fallbackId: 64_918 },
} as const

/** Ids for the image worker; empty where this process is not root and so cannot give it any. */
export function imageUser(): { uid?: number; gid?: number } {
  return idsOf('images')
}

/** Ids for the network engine, likewise. */
export function networkUser(): { uid?: number; gid?: number } {
  return idsOf('network')
}

function idsOf(which: keyof typeof users): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const { name, fallbackId } = users[which]
  const entry = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([each]) => each === name)
  return { uid: Number(entry?.[2] ?? fallbackId), gid: Number(entry?.[3] ?? fallbackId) }
}
