// One process at a time owns a store: it alone may sweep blobs and drop leftovers. The lock is SQLite's file lock, so
// the kernel frees it when the owner is killed, nobody else can hold its name, and nothing stale is left behind.

import path from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { OciError } from '../errors.ts'

/** How long the owner before may take to end. Waiting blocks the process, which has nothing else to do yet. */
const PATIENCE_MS = 10_000

/** Takes the store in `folder` for this process, until it is disposed. Throws `oci.in-use`. */
export function lockStore(folder: string, patienceMs = PATIENCE_MS): Disposable {
  const database = new DatabaseSync(path.join(folder, 'owner.lock'), { timeout: patienceMs })
  try {
    // Nothing is ever written: an exclusive transaction that stays open is the lock.
    database.exec('PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    throw new OciError(
      'oci.in-use',
      `Cannot open the image store in ${folder}: another process is using it`,
      {
        cause: error,
      },
    )
  }
  return { [Symbol.dispose]: () => database[Symbol.dispose]() }
}
