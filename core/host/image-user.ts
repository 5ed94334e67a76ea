// The user that parses foreign bytes: the image worker's, which owns the store and nothing else. DESIGN 2.
import { readFileSync } from 'node:fs'

const userName = 'bulkhead-images'
/** Where the package's user does not exist (the lab, a source tree): a number nobody else has. */
const fallbackId = 64_917

/** Ids for the image worker; empty where this process is not root and so cannot give it any. */
export function imageUser(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const entry = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === userName)
  return { uid: Number(entry?.[2] ?? fallbackId), gid: Number(entry?.[3] ?? fallbackId) }
}
