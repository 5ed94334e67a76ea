// Transfers by curl in both directions, judged by their SHA-256 at both ends. The content is content-program.ts's.
import { isIPv6 } from 'node:net'
import { join } from 'node:path'
import type { Namespace } from './namespace.ts'
import type { Program } from './program.ts'
import type { Place } from './sockets.ts'

const program = [process.execPath, join(import.meta.dirname, 'content-program.ts')] as const

export interface Transfer {
  readonly method: string
  readonly client: string
  readonly bytes: number
  readonly sha256: string
}

/** A server of content. Dispose of it. */
export class ContentServer implements AsyncDisposable {
  readonly #program: Program
  readonly #url: string

  private constructor(server: Program, { address, port }: Place) {
    this.#program = server
    this.#url = `http://${isIPv6(address) ? `[${address}]` : address}:${port}`
  }

  static async start(namespace: Namespace, place: Place): Promise<ContentServer> {
    const server = namespace.start(...program, 'serve', place.address, String(place.port))
    await server.lineWith('listening')
    return new ContentServer(server, place)
  }

  /** `curl` in `client` gets so much: its SHA-256 as the client has it, and what the server says of it. */
  async download(
    client: Namespace,
    bytes: number,
    url = this.#url,
  ): Promise<{ sha256: string; sent: Transfer }> {
    const output = await client.run(
      ...['bash', '-o', 'pipefail', '-c', `curl --globoff -sS --fail '${url}/${bytes}' | sha256sum`],
    )
    return { sha256: output.split(' ')[0] ?? '', sent: await this.#transfer() }
  }

  /** `curl` in `client` puts so much: the SHA-256 of what it sent, and what the server says of it. */
  async upload(
    client: Namespace,
    bytes: number,
    url = this.#url,
  ): Promise<{ sha256: string; received: Transfer }> {
    const upload = client.start(
      ...['bash', '-o', 'pipefail', '-c'],
      `${program.join(' ')} generate ${bytes} | curl --globoff -sS --fail -o /dev/null -T - '${url}/'`,
    )
    await upload.output()
    return { sha256: (await upload.end).stderr.trim(), received: await this.#transfer() }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#program[Symbol.asyncDispose]()
  }

  async #transfer(): Promise<Transfer> {
    return JSON.parse(await this.#program.nextLine())
  }
}
