// The guests on disk: one folder each under `guests/`, named by id. docs/contracts/state.md.
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { NetworkSpec } from '../api/methods.ts'
import { replaceFile } from '../durable-file.ts'
import { GuestError } from './errors.ts'
import { type GuestRecord, guestFormatVersion } from './guest-record.ts'

export class GuestStore {
  readonly #folder: string

  /** `folder` is the `guests` folder of the state directory; it is made by `load`. */
  constructor(folder: string) {
    this.#folder = folder
  }

  folderOf(id: string): string {
    return join(this.#folder, id)
  }

  /** All guests. A folder whose `guest.json` cannot be read is reported and left alone. */
  async load(onBad: (id: string, error: GuestError) => void): Promise<GuestRecord[]> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const records: GuestRecord[] = []
    for (const id of await readdir(this.#folder)) {
      if (!/^[0-9a-f]{64}$/.test(id)) continue
      try {
        records.push(parse(id, await readFile(join(this.#folder, id, 'guest.json'), 'utf8')))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
          // A guest whose making or removal was cut short: nothing points to it.
          await rm(join(this.#folder, id), { recursive: true, force: true })
          continue
        }
        onBad(id, error instanceof GuestError ? error : badRecord(id, String(error), error))
      }
    }
    return records.sort((one, other) => one.createdAt.localeCompare(other.createdAt))
  }

  async save(record: GuestRecord): Promise<void> {
    await mkdir(this.folderOf(record.id), { recursive: true, mode: 0o700 })
    await replaceFile(join(this.folderOf(record.id), 'guest.json'), `${JSON.stringify(record, null, 2)}\n`)
  }

  async remove(id: string): Promise<void> {
    // The record goes first: without it the rest is rubbish that the next start clears away.
    await rm(join(this.folderOf(id), 'guest.json'), { force: true })
    await rm(this.folderOf(id), { recursive: true, force: true })
  }
}

function parse(id: string, text: string): GuestRecord {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw badRecord(id, 'it is not JSON', error)
  }
  if (typeof value !== 'object' || value === null || !('formatVersion' in value))
    throw badRecord(id, 'it has no version')
  if (value.formatVersion === 1) value = fromVersion1(value)
  else if (value.formatVersion !== guestFormatVersion)
    throw badRecord(
      id,
      `its format is ${String(value.formatVersion)}, this program knows ${guestFormatVersion}`,
    )
  const record = value as GuestRecord
  if (record.id !== id || typeof record.name !== 'string' || typeof record.spec !== 'object')
    throw badRecord(id, 'it is not the record of this guest')
  return record
}

/** Guests of version 1 had no network. The file itself stays as it is until the guest changes. */
function fromVersion1(value: object): object {
  const spec = 'spec' in value && typeof value.spec === 'object' ? value.spec : undefined
  const network: NetworkSpec = {
    kind: 'none',
    ports: [],
    guests: true,
    policy: [],
    dns: { servers: [], search: [], options: [] },
  }
  return { ...value, formatVersion: guestFormatVersion, spec: { ...spec, network } }
}

function badRecord(id: string, reason: string, cause?: unknown): GuestError {
  return new GuestError('guest.bad-record', `Cannot read guest.json of ${id.slice(0, 12)}: ${reason}`, {
    hint: 'Put the file right, or remove the folder if the guest is not wanted any more.',
    cause,
  })
}
