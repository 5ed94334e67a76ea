// The verbs for images, between real registries on this machine and the core host of a lab, beside skopeo.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeImage, skopeoCopy } from '../images/made-images.ts'
import { PASSWORD, portOf, type RunningServer, startRegistry, USER } from '../images/registry-servers.ts'
import { LabHost } from './lab-host.ts'

const run = promisify(execFile)

let host: LabHost
let open: RunningServer
let locked: RunningServer
/** The registries' loopback here, as dom0 of the lab sees it (docs/lab.md). */
const fromLab = (server: RunningServer) => server.host.replace('127.0.0.1', '10.0.2.2')
const tags = ['1.0', '1.1', 'latest']
const user = () => ({ environment: { HOME: join(host.folder, 'user') } })

beforeAll(async () => {
  host = await LabHost.start()
  open = await startRegistry(join(host.folder, 'open'), { auth: 'none' })
  locked = await startRegistry(join(host.folder, 'locked'), { auth: 'htpasswd' })
  mkdirSync(join(host.folder, 'user'))
  const { layout } = await makeImage(join(host.folder, 'made'))
  const source = `oci:${layout}:made`
  for (const tag of tags)
    await skopeoCopy(source, `docker://${open.host}/team/app:${tag}`, '--dest-tls-verify=false')
  const login = ['--dest-tls-verify=false', '--dest-creds', `${USER}:${PASSWORD}`]
  await skopeoCopy(source, `docker://${locked.host}/secret:1`, ...login)
})
afterAll(async () => {
  await host?.[Symbol.asyncDispose]()
  await open?.[Symbol.asyncDispose]()
  await locked?.[Symbol.asyncDispose]()
})

interface HeldRegistry extends RunningServer {
  readonly blobsAskedFor: string[]
  /** Lets the layers go. */
  release(): void
}

/** Passes on what `registry` says, layers only after `release`. */
async function startHeldRegistry(registry: RunningServer): Promise<HeldRegistry> {
  const released = Promise.withResolvers<void>()
  const blobsAskedFor: string[] = []
  const server = createServer(async ({ url = '/', method, headers }, response) => {
    const answer = await fetch(`http://${registry.host}${url}`, {
      method: method ?? 'GET',
      headers: { accept: headers.accept ?? '*/*' },
    })
    const bytes = Buffer.from(await answer.arrayBuffer())
    if (url.includes('/blobs/')) {
      blobsAskedFor.push(url)
      if (bytes.length > 10_000 || bytes[0] === 0x1f) await released.promise
    }
    response.writeHead(answer.status, {
      'content-type': answer.headers.get('content-type') ?? '',
      'docker-content-digest': answer.headers.get('docker-content-digest') ?? '',
    })
    response.end(bytes)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${portOf(server.address())}`,
    blobsAskedFor,
    release: released.resolve,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** The digests of the layers of an image that skopeo looks at. */
async function layersSeenBySkopeo(image: string): Promise<string[]> {
  const { stdout } = await run('skopeo', ['--insecure-policy', 'inspect', '--tls-verify=false', image])
  return JSON.parse(stdout).Layers
}

describe('an image from a registry', () => {
  const app = () => `${fromLab(open)}/team/app`

  it('is pulled, and its progress told to a program', async () => {
    const words = ['pull', '--plain-http', '--progress', 'json', `${app()}:1.0`]
    const { status, stdout, stderr } = await host.bulkhead(words)
    expect([status, stderr]).toEqual([0, ''])
    const states = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(states.at(-1)).toMatchObject({ type: 'done', references: [`${app()}:1.0`] })
    const layers = states.findLast(({ layers: seen = [] }) => seen.length > 0).layers
    expect(layers.map(({ digest }: { digest: string }) => digest).sort()).toEqual(
      (await layersSeenBySkopeo(`docker://${open.host}/team/app:1.0`)).sort(),
    )
  })

  it('says at a terminal how it goes', async () => {
    const { status, stdout } = await host.terminal(['pull', '--plain-http', `${app()}:1.1`]).finish()
    expect(status).toBe(0)
    expect(stdout).toContain(`Pull ${app()}:1.1: complete`)
    expect(stdout.split('\r\n').slice(-2)).toEqual([`\x1b[J${app()}:1.1`, ''])
  })

  it('has its tags in the registry, in its order', async () => {
    const list = ['--insecure-policy', 'list-tags', '--tls-verify=false', `docker://${open.host}/team/app`]
    const { Tags: seen }: { Tags: string[] } = JSON.parse((await run('skopeo', list)).stdout)
    expect([...seen].sort()).toEqual(tags)
    const words = ['image', 'tags', '--plain-http', app()]
    expect(await host.bulkhead(words)).toMatchObject({
      status: 0,
      stdout: `${seen.join('\n')}\n`,
      stderr: '',
    })
    expect(await host.bulkhead([...words, '--limit', '2'])).toMatchObject({
      stdout: `${seen.slice(0, 2).join('\n')}\n`,
      stderr: expect.stringContaining('There are more'),
    })
    expect(JSON.parse((await host.bulkhead([...words, '--all', '--json'])).stdout)).toEqual(seen)
  })

  it('tells how it was made and what it is made of', async () => {
    const history = JSON.parse((await host.bulkhead(['history', '--json', `${app()}:1.0`])).stdout)
    const layers = JSON.parse((await host.bulkhead(['image', 'layers', '--json', `${app()}:1.0`])).stdout)
    const digests = await layersSeenBySkopeo(`docker://${open.host}/team/app:1.0`)
    expect(layers.map(({ digest }: { digest: string }) => digest)).toEqual(digests)
    const made = history.filter(({ empty }: { empty: boolean }) => !empty)
    expect(made.map(({ layer }: { layer: string }) => layer).reverse()).toEqual(digests)
    // Two files, a folder and a link in each; the root folder is an entry too.
    for (const layer of layers) expect(layer.entries).toBeGreaterThanOrEqual(4)
    expect((await host.bulkhead(['history', `${app()}:1.0`])).stdout).toMatch(
      /^IMAGE +CREATED +CREATED BY +(PACKED )?SIZE +COMMENT\n/,
    )
  })

  it.each(['docker-archive', 'oci-archive'])(
    'is saved as a %s that skopeo reads, and loaded again',
    async (format) => {
      const archive = join(host.folder, `${format}.tar`)
      const { child, finish } = host.start(['save', '--format', format, `${app()}:1.0`])
      const writing = run('sh', ['-c', 'cat > "$0"', archive])
      if (writing.child.stdin !== null) child.stdout?.pipe(writing.child.stdin)
      expect(await finish()).toMatchObject({ status: 0, stderr: '' })
      await writing
      const name = format === 'docker-archive' ? `:${app()}:1.0` : ''
      expect(await layersSeenBySkopeo(`${format}:${archive}${name}`)).toHaveLength(2)

      expect((await host.bulkhead(['rmi', `${app()}:1.0`])).status).toBe(0)
      expect(await host.bulkhead(['load', '-i', archive])).toMatchObject({
        status: 0,
        stdout: `Loaded image: ${app()}:1.0\n`,
      })
    },
  )

  it('gets another name', async () => {
    expect(await host.bulkhead(['tag', `${app()}:1.0`, 'mine:2'])).toMatchObject({ status: 0, stdout: '' })
    const { stdout } = await host.bulkhead(['images', 'mine', '--json'])
    expect(JSON.parse(stdout)).toMatchObject([{ reference: 'docker.io/library/mine:2' }])
  })

  it('is refused where signatures are asked for and there are none', async () => {
    const key = join(host.folder, 'cosign.pub')
    const { stdout: pem } = await run('sh', [
      '-c',
      'openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout 2>/dev/null',
    ])
    writeFileSync(key, pem)
    const { status, stdout, stderr } = await host.bulkhead([
      'image',
      'verify',
      '--plain-http',
      '--key',
      key,
      `${app()}:1.1`,
    ])
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^bulkhead: Cannot .+\n/)
    expect(stderr).toMatch(/sign/)
  })
})

describe('a pull that two asked for', () => {
  it('goes on for the one when the other leaves', async () => {
    const { layout } = await makeImage(join(host.folder, 'shared'), 'shared')
    await skopeoCopy(`oci:${layout}:made`, `docker://${open.host}/shared:1`, '--dest-tls-verify=false')
    await using slow = await startHeldRegistry(open)
    const words = ['pull', '--plain-http', '--progress', 'json', `${fromLab(slow)}/shared:1`]
    const [leaving, staying] = [host.start(words), host.start(words)]
    await Promise.all([leaving.said('"active"'), staying.said('"active"')])
    leaving.child.kill('SIGINT')
    expect(await leaving.finish()).toMatchObject({
      status: 130,
      stderr: expect.stringContaining('others still wait for the pull; it goes on'),
    })
    slow.release()
    const { status, stdout } = await staying.finish()
    expect(status).toBe(0)
    expect(JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')).toMatchObject({ type: 'done' })
    // Both had one download: each blob was asked for once.
    expect(slow.blobsAskedFor).toHaveLength(new Set(slow.blobsAskedFor).size)
  })
})

describe('a registry that wants a login', () => {
  const registry = () => fromLab(locked)
  const login = (password: string) =>
    host.bulkhead(['login', '--plain-http', '-u', USER, '--password-stdin', registry()], {
      ...user(),
      input: `${password}\n`,
    })
  const pull = () => host.bulkhead(['pull', '--plain-http', `${registry()}/secret:1`], user())

  it('does not take a wrong password', async () => {
    const { status, stdout, stderr } = await login('wrong')
    expect([status, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(/^bulkhead: Cannot log in to 10\.0\.2\.2:\d+: .*refused/)
    expect(stderr).not.toContain('wrong')
    expect(await pull()).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`Log in with "bulkhead login ${registry()}"`),
    })
  })

  it('is logged in to, pulled from, and forgotten; skopeo knows the login too', async () => {
    expect(await login(PASSWORD)).toMatchObject({ status: 0, stdout: 'Login Succeeded\n' })
    expect(await pull()).toMatchObject({ status: 0, stdout: `${registry()}/secret:1\n`, stderr: '' })
    const asUser = { env: { ...process.env, HOME: join(host.folder, 'user'), XDG_RUNTIME_DIR: host.folder } }
    const known = await run('skopeo', ['login', '--get-login', registry()], asUser)
    expect(known.stdout.trim()).toBe(USER)
    expect(await host.bulkhead(['logout', registry()], user())).toMatchObject({
      stdout: `Removing login credentials for ${registry()}\n`,
      stderr: '',
    })
    expect((await pull()).status).toBe(1)
  })
})

describe('the store', () => {
  it('is sound', async () => {
    expect(await host.bulkhead(['image', 'check'])).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/: all sound\n$/),
    })
  })

  it('loses what its prune said it would, and no more', async () => {
    const words = ['image', 'prune', '--all', '--derived']
    const preview = await host.bulkhead([...words, '--dry-run'])
    expect([preview.status, preview.stdout]).toEqual([0, expect.stringContaining('mine:2')])
    const before = (await host.bulkhead(['images', '-q'])).stdout
    expect(before).not.toBe('')
    const pruned = await host.bulkhead([...words, '--force'])
    expect(pruned.stdout.replace('Total reclaimed space', 'Would free')).toBe(preview.stdout)
    expect((await host.bulkhead(['images', '-q'])).stdout).toBe('')
  })
})
