import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { defaultSocketPath } from '../../api/wire.ts'
import { authEntry, CredentialFolder } from '../credentials/credential-folder.fixture.ts'
import type { CoreTarget } from '../target.ts'
import { proxiesOf, sharesOurNetwork } from './proxies.ts'
import { accessForImage } from './registry-access.ts'

let folder: CredentialFolder
beforeEach(() => {
  folder = new CredentialFolder()
})
afterEach(() => folder[Symbol.dispose]())

const local: CoreTarget = { kind: 'local', socketPath: defaultSocketPath, label: 'here' }
const lab: CoreTarget = { kind: 'lab', socketPath: '/cache/lab.sock', label: 'the lab' }

describe('proxiesOf()', () => {
  it.each([
    [{}, undefined],
    [{ NO_PROXY: 'a.io' }, undefined],
    [
      { HTTPS_PROXY: 'http://p:3128', no_proxy: 'a.io,.b' },
      { https: 'http://p:3128', except: 'a.io,.b' },
    ],
    [{ HTTP_PROXY: 'p:1', http_proxy: 'q:2' }, { http: 'http://p:1' }],
    [{ https_proxy: 'https://q:2', HTTPS_PROXY: '' }, { https: 'https://q:2' }],
  ])('reads %j', (environment, proxies) => {
    expect(proxiesOf(environment)).toEqual(proxies)
  })
})

describe('sharesOurNetwork()', () => {
  it('is true of the core host of this machine alone', () => {
    const socket = (socketPath: string): CoreTarget => ({ kind: 'socket', socketPath, label: '' })
    expect(
      [local, lab, socket(defaultSocketPath), socket('/tmp/forwarded.sock')].map(sharesOurNetwork),
    ).toEqual([true, false, true, false])
  })
})

describe('accessForImage()', () => {
  const certificate = '-----BEGIN CERTIFICATE-----\nAA==\n'
  const environment = () => ({ ...folder.environment, HTTPS_PROXY: 'http://p:3128' })

  it('has what the user has for the registry', async () => {
    folder.write('.docker/config.json', { auths: { 'a.io': authEntry('me:x') } })
    folder.write('.docker/certs.d/a.io/ca.crt', certificate)
    expect((await accessForImage('a.io/b:1', { environment: environment(), target: local })).access).toEqual({
      credentials: { username: 'me', password: 'x' },
      certificateAuthority: certificate,
      proxy: { https: 'http://p:3128' },
    })
  })

  it('sends no proxies of this machine to another', async () => {
    const { access } = await accessForImage('a.io/b:1', { environment: environment(), target: lab })
    expect(access).toEqual({})
  })

  it('takes what was said before what is found', async () => {
    folder.write('.docker/certs.d/a.io/ca.crt', certificate)
    const { access } = await accessForImage('a.io/b', {
      environment: environment(),
      target: lab,
      certificates: { certificateAuthority: 'said' },
      plainHttp: true,
      trustedRealms: ['auth.a.io'],
    })
    expect(access).toEqual({ certificateAuthority: 'said', plainHttp: true, trustedRealms: ['auth.a.io'] })
  })
})
