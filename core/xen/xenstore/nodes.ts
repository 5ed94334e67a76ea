// Reading and writing nodes, alike inside and outside of a transaction.
import { isXenError, XenError } from '../errors.ts'
import type { Request, XenstoreConnection } from './connection.ts'
import { checkPath } from './path.ts'
import { decodePermissions, encodePermissions, type Permissions } from './permissions.ts'
import { decodeStrings, decodeText, encodeStrings, MESSAGE } from './wire.ts'

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

/** Access to nodes. Every method throws XenError with xenstored's `errorName` (EACCES, ENOSPC, …). */
export interface XenstoreNodes {
  /** The value as text, or undefined where there is no node. A guest's value may be anything. */
  read(path: string, options?: CallOptions): Promise<string | undefined>
  readBytes(path: string, options?: CallOptions): Promise<Uint8Array | undefined>
  /** Names of the children, in no order; undefined where there is no node. */
  list(path: string, options?: CallOptions): Promise<readonly string[] | undefined>
  /** Writes a value, making the node and its parents where needed, then sets `permissions` if given. */
  write(path: string, value: string | Uint8Array, options?: WriteOptions): Promise<void>
  /** Makes a node with an empty value; leaves one that exists. */
  makeDirectory(path: string, options?: WriteOptions): Promise<void>
  /** Removes a node and all below; nothing happens where there is none. */
  remove(path: string, options?: CallOptions): Promise<void>
  getPermissions(path: string, options?: CallOptions): Promise<Permissions>
  setPermissions(path: string, permissions: Permissions, options?: CallOptions): Promise<void>
}

export interface WriteOptions extends CallOptions {
  readonly permissions?: Permissions
}

/** A directory that changes while it is read in parts is read again this often. */
const MAX_LIST_ATTEMPTS = 100

export class ConnectionNodes implements XenstoreNodes {
  readonly #connection: XenstoreConnection
  readonly #transactionId: number

  constructor(connection: XenstoreConnection, transactionId: number) {
    this.#connection = connection
    this.#transactionId = transactionId
  }

  async read(path: string, options?: CallOptions): Promise<string | undefined> {
    const value = await this.readBytes(path, options)
    return value === undefined ? undefined : Buffer.from(value).toString('utf8')
  }

  async readBytes(path: string, options?: CallOptions): Promise<Uint8Array | undefined> {
    return unlessMissing(
      this.#request(MESSAGE.read, encodeStrings(checkPath(path)), `read "${path}"`, options).then(
        (payload) => new Uint8Array(payload),
      ),
    )
  }

  async list(path: string, options?: CallOptions): Promise<readonly string[] | undefined> {
    try {
      const payload = await this.#request(
        MESSAGE.directory,
        encodeStrings(checkPath(path)),
        `list "${path}"`,
        options,
      )
      return decodeStrings(payload)
    } catch (error) {
      if (isXenError(error, 'ENOENT')) return undefined
      if (isXenError(error, 'E2BIG')) return unlessMissing(this.#listInParts(path, options))
      throw error
    }
  }

  async write(path: string, value: string | Uint8Array, options?: WriteOptions): Promise<void> {
    const payload = Buffer.concat([encodeStrings(checkPath(path)), Buffer.from(value)])
    const written = this.#request(MESSAGE.write, payload, `write "${path}"`, options)
    await this.#withPermissions(written, path, options)
  }

  async makeDirectory(path: string, options?: WriteOptions): Promise<void> {
    const made = this.#request(
      MESSAGE.makeDirectory,
      encodeStrings(checkPath(path)),
      `make the node "${path}"`,
      options,
    )
    await this.#withPermissions(made, path, options)
  }

  async remove(path: string, options?: CallOptions): Promise<void> {
    const removed = this.#request(MESSAGE.remove, encodeStrings(checkPath(path)), `remove "${path}"`, options)
    await unlessMissing(removed)
  }

  async getPermissions(path: string, options?: CallOptions): Promise<Permissions> {
    const payload = await this.#request(
      MESSAGE.getPermissions,
      encodeStrings(checkPath(path)),
      `read the permissions of "${path}"`,
      options,
    )
    return decodePermissions(decodeStrings(payload))
  }

  async setPermissions(path: string, permissions: Permissions, options?: CallOptions): Promise<void> {
    await this.#request(
      MESSAGE.setPermissions,
      encodeStrings(checkPath(path), ...encodePermissions(permissions)),
      `set the permissions of "${path}"`,
      options,
    )
  }

  // Both messages are on their way before the first answer is back.
  async #withPermissions(request: Promise<Buffer>, path: string, options?: WriteOptions): Promise<void> {
    if (options?.permissions === undefined) {
      await request
      return
    }
    await allSettled([request, this.setPermissions(path, options.permissions, options)])
  }

  /** DIRECTORY_PART: `<generation>NUL<names…>`, an empty name at the very end. */
  async #listInParts(path: string, options?: CallOptions): Promise<readonly string[]> {
    for (let attempt = 0; attempt < MAX_LIST_ATTEMPTS; attempt++) {
      const names = await this.#tryListInParts(path, options)
      if (names !== undefined) return names
    }
    throw new XenError('xenstore-failed', `Cannot list "${path}": it changes faster than it can be read`, {
      errorName: 'EAGAIN',
    })
  }

  async #tryListInParts(path: string, options?: CallOptions): Promise<readonly string[] | undefined> {
    let generation: string | undefined
    const parts: Buffer[] = []
    for (let offset = 0; ; ) {
      const payload = await this.#request(
        MESSAGE.directoryPart,
        encodeStrings(checkPath(path), String(offset)),
        `list "${path}"`,
        options,
      )
      const current = decodeText(payload)
      generation ??= current
      if (generation !== current) return undefined
      const part = payload.subarray(current.length + 1)
      parts.push(part)
      offset += part.length
      const isLast = part.length <= 1 || (part.at(-1) === 0 && part.at(-2) === 0)
      if (isLast) return decodeStrings(Buffer.concat(parts).subarray(0, -1))
    }
  }

  #request(type: number, payload: Buffer, action: string, options?: CallOptions): Promise<Buffer> {
    const request: Request = {
      type,
      payload,
      action,
      transactionId: this.#transactionId,
      signal: options?.signal,
    }
    return this.#connection.request(request)
  }
}

/** Waits for all, then throws the first failure: none is left unhandled. */
async function allSettled(promises: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(promises)) {
    if (result.status === 'rejected') throw result.reason
  }
}

async function unlessMissing<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise
  } catch (error) {
    if (isXenError(error, 'ENOENT')) return undefined
    throw error
  }
}
