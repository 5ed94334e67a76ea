// A registry that misbehaves on demand. It serves an OCI layout rightly (distribution-spec) until a test's script takes a
// request over: the faults that a real registry cannot be made to show.

import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import path from 'node:path'
import { hexOf, readLayout } from './made-images.ts'
import { portOf, type RunningServer } from './registry-servers.ts'

/** Answers a request itself, or returns false to let the registry answer. */
export type Script = (request: IncomingMessage, response: ServerResponse) => boolean

/** What a path answers with. */
export interface Canned {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Buffer
}

/** Answers the paths that `answers` knows (with their query, or without), with 404 all others below /v2/. */
export function canned(answers: (path: string, request: IncomingMessage) => Canned | undefined): Script {
  return (request, response) => {
    if (request.url === '/v2/') return false
    const answer = answers(request.url ?? '', request) ?? { status: 404 }
    const { status = 200, headers = {}, body = '' } = answer
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    response.writeHead(status, { 'content-length': Buffer.byteLength(body) })
    response.end(request.method === 'HEAD' ? undefined : body)
    return true
  }
}

export interface ScriptedRegistry extends RunningServer {
  /** What was asked for so far: `GET /v2/…`. */
  readonly log: string[]
  /** The Authorization header of each request. */
  readonly authorizations: (string | undefined)[]
}

/** Serves the image of `layout` as every repository's `made` tag. `address` is where it listens. */
export async function startScriptedRegistry(
  layout: string,
  script: Script,
  address = '127.0.0.1',
): Promise<ScriptedRegistry> {
  const { entry, blobs } = await readLayout(layout)
  const log: string[] = []
  const authorizations: (string | undefined)[] = []
  const server = createServer((request, response) => {
    log.push(`${request.method} ${request.url}`)
    authorizations.push(request.headers.authorization)
    if (script(request, response)) return
    answer(request, response).catch((error) => response.destroy(error))
  })

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, kind, key] = /\/(manifests|blobs)\/(.+)$/.exec(request.url ?? '') ?? []
    const hex = key === 'made' ? hexOf(entry) : key?.replace('sha256:', '')
    if (kind === undefined || hex === undefined) {
      response.writeHead(request.url === '/v2/' ? 200 : 404).end()
      return
    }
    const file = path.join(blobs, hex)
    if (kind === 'manifests') {
      const bytes = await readFile(file)
      const headers = {
        'content-type': 'application/vnd.oci.image.manifest.v1+json',
        'content-length': bytes.length,
        'docker-content-digest': `sha256:${hex}`,
      }
      response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : bytes)
      return
    }
    const { size } = await stat(file)
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const range = start === 0 ? undefined : { 'content-range': `bytes ${start}-${size - 1}/${size}` }
    response.writeHead(range === undefined ? 200 : 206, { 'content-length': size - start, ...range })
    createReadStream(file, { start }).pipe(response)
  }

  server.listen(0, address)
  await once(server, 'listening')
  return {
    host: `${address}:${portOf(server.address())}`,
    log,
    authorizations,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
