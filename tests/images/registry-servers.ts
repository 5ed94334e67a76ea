// Real registries (Debian's docker-registry) on free loopback ports: open, with a password file, with tokens, with TLS,
// with client certificates, and as a mirror of another (pull-through).

import { spawn } from 'node:child_process'
import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { run } from './commands.ts'

export const USER = 'reader'
export const PASSWORD = 'correct horse: battery'
/** bcrypt of the password (`htpasswd -nbB`), the only form that docker-registry takes. */
const PASSWORD_HASH = '$2y$05$RwiO997QIuMOYw/djrgFau6GKUUcuAZK.9xUrGphzMrhFGX7dbwHm'

export interface RunningServer extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string
}

export interface Certificates {
  /** PEM text of the authority. */
  readonly authority: string
  /** For skopeo: a folder with the authority as `ca.crt`. */
  readonly folder: string
  readonly certificate: string
  readonly key: string
  /** PEM text, to show to servers that want a certificate. */
  readonly client: { readonly certificate: string; readonly key: string }
}

interface RegistrySettings {
  readonly tls?: Certificates
  /** Only who shows a certificate of the authority may speak to it. */
  readonly wantsClientCertificate?: boolean
  /** The registry that it mirrors: `http://host:port`. */
  readonly mirrorOf?: string
}

export type RegistryKind = RegistrySettings &
  (
    | { readonly auth: 'none' | 'htpasswd' }
    | { readonly auth: 'token'; readonly realm: string; readonly signer: Certificates }
  )

/** Starts a registry that keeps its data in `folder`, and waits until it listens. */
export async function startRegistry(folder: string, kind: RegistryKind): Promise<RunningServer> {
  await mkdir(folder, { recursive: true })
  const port = await freePort()
  const passwords = path.join(folder, 'htpasswd')
  await writeFile(passwords, `${USER}:${PASSWORD_HASH}\n`)
  const auth = {
    none: '',
    htpasswd: `auth: {htpasswd: {realm: test, path: ${passwords}}}`,
    token:
      kind.auth === 'token'
        ? `auth: {token: {realm: "${kind.realm}", service: test-registry, issuer: test-issuer, rootcertbundle: ${kind.signer.certificate}}}`
        : '',
  }[kind.auth]
  const clients =
    kind.wantsClientCertificate === true
      ? `, clientcas: [${path.join(kind.tls?.folder ?? '', 'ca.crt')}]`
      : ''
  const tls =
    kind.tls === undefined
      ? ''
      : `, tls: {certificate: ${kind.tls.certificate}, key: ${kind.tls.key}${clients}}`
  const config = path.join(folder, 'config.yml')
  await writeFile(
    config,
    `version: 0.1
log: {level: info, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: ${path.join(folder, 'data')}}}
http: {addr: "127.0.0.1:${port}", secret: test${tls}}
${auth}
${kind.mirrorOf === undefined ? '' : `proxy: {remoteurl: ${kind.mirrorOf}}`}
`,
  )
  const server = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'ignore', 'pipe'] })
  const lines: string[] = []
  for await (const line of createInterface(server.stderr)) {
    lines.push(line)
    if (line.includes('listening on')) break
  }
  if (server.exitCode !== null) throw new Error(`docker-registry ended:\n${lines.join('\n')}`)
  server.stderr.resume()
  return {
    host: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.kill()
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
    },
  }
}

export interface TokenServer extends RunningServer {
  /** Authorization headers and queries of the requests so far. */
  readonly requests: { readonly authorization: string | undefined; readonly query: URLSearchParams }[]
}

/** A token server (distribution docs/spec/auth/token.md) that gives a token to who knows the password. */
export async function startTokenServer(signer: Certificates): Promise<TokenServer> {
  const requests: TokenServer['requests'] = []
  const key = createPrivateKey(await readFile(signer.key))
  const chain = [new X509Certificate(await readFile(signer.certificate)).raw.toString('base64')]
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? '/', 'http://localhost')
    const { authorization } = request.headers
    requests.push({ authorization, query: searchParams })
    const isKnown = authorization === `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`
    if (!isKnown) {
      response.writeHead(401).end()
      return
    }
    const access = searchParams.getAll('scope').map((scope) => {
      const [type, name, actions] = scope.split(':')
      return { type, name, actions: actions?.split(',') }
    })
    const seconds = Math.floor(Date.now() / 1000)
    const claims = {
      iss: 'test-issuer',
      sub: USER,
      aud: searchParams.get('service'),
      exp: seconds + 300,
      nbf: seconds - 10,
      iat: seconds,
      jti: randomUUID(),
      access,
    }
    const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const unsigned = `${encode({ typ: 'JWT', alg: 'RS256', x5c: chain })}.${encode(claims)}`
    const token = `${unsigned}.${sign('sha256', Buffer.from(unsigned), key).toString('base64url')}`
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ token, expires_in: 300 }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${portOf(server.address())}`,
    requests,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** An authority and certificates of it for 127.0.0.1 and registry.test, and for a client, made by openssl. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  await mkdir(folder, { recursive: true })
  const at = (name: string) => path.join(folder, name)
  const newKey = ['-newkey', 'rsa:2048', '-nodes']
  const days = ['-days', '2']
  const issue = async (name: string, subject: string) => {
    const request = ['-subj', `/CN=${subject}`, '-keyout', at(`${name}.pem`), '-out', at(`${name}.csr`)]
    await run('openssl', 'req', ...newKey, ...request)
    const authority = ['-CA', at('ca.crt'), '-CAkey', at('ca.key'), '-CAcreateserial']
    const files = ['-in', at(`${name}.csr`), '-extfile', at(`${name}.ext`), '-out', at(`${name}.crt`)]
    await run('openssl', 'x509', '-req', ...authority, ...days, ...files)
  }
  const own = ['-subj', '/CN=Test authority', '-keyout', at('ca.key'), '-out', at('ca.crt')]
  await run('openssl', 'req', '-x509', ...newKey, ...days, ...own)
  await writeFile(at('server.ext'), 'subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:registry.test\n')
  await writeFile(at('client.ext'), 'extendedKeyUsage=clientAuth\n')
  await issue('server', '127.0.0.1')
  await issue('client', 'a client')
  const skopeo = at('skopeo')
  await mkdir(skopeo)
  const text = await readFile(at('ca.crt'), 'utf8')
  await writeFile(path.join(skopeo, 'ca.crt'), text)
  // How docker and skopeo find what to show.
  await writeFile(path.join(skopeo, 'client.cert'), await readFile(at('client.crt')))
  await writeFile(path.join(skopeo, 'client.key'), await readFile(at('client.pem')))
  const client = {
    certificate: await readFile(at('client.crt'), 'utf8'),
    key: await readFile(at('client.pem'), 'utf8'),
  }
  return { authority: text, folder: skopeo, certificate: at('server.crt'), key: at('server.pem'), client }
}

async function freePort(): Promise<number> {
  const probe = createTcpServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const port = portOf(probe.address())
  probe.close()
  await once(probe, 'close')
  return port
}

export function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('not a TCP server')
  return address.port
}
