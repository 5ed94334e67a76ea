import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CredentialFolder } from '../credentials/credential-folder.fixture.ts'
import { findCertificates } from './certificates.ts'

let folder: CredentialFolder
beforeEach(() => {
  folder = new CredentialFolder()
})
afterEach(() => folder[Symbol.dispose]())
const pem = (what: string) => `-----BEGIN ${what}-----\nAA==\n-----END ${what}-----\n`
const find = (registry: string) => findCertificates(registry, folder.environment)

describe('findCertificates()', () => {
  it('reads authorities and what to show', async () => {
    const base = '.config/containers/certs.d/localhost:5000'
    folder.write(`${base}/a.crt`, pem('A'))
    folder.write(`${base}/b.crt`, pem('B'))
    folder.write(`${base}/client.cert`, pem('CERT'))
    folder.write(`${base}/client.key`, pem('KEY'))
    expect(await find('localhost:5000')).toEqual({
      certificateAuthority: `${pem('A')}\n${pem('B')}`,
      clientCertificate: { certificate: pem('CERT'), key: pem('KEY') },
    })
    expect(await find('localhost')).toEqual({})
  })

  it("takes podman's folder before docker's", async () => {
    folder.write('.docker/certs.d/a.io/ca.crt', pem('DOCKER'))
    expect(await find('a.io')).toEqual({ certificateAuthority: pem('DOCKER') })
    folder.write('.config/containers/certs.d/a.io/ca.crt', pem('PODMAN'))
    expect(await find('a.io')).toEqual({ certificateAuthority: pem('PODMAN') })
  })

  it.each([
    ['a certificate without its key', 'client.cert', pem('CERT'), 'client.cert has no client.key beside it'],
    ['what is no PEM', 'ca.crt', 'nothing', 'it is no PEM file'],
  ])('refuses %s', async (_what, name, text, reason) => {
    folder.write(`.docker/certs.d/a.io/${name}`, text)
    await expect(find('a.io')).rejects.toThrow(reason)
  })

  it.each(['..', '../x', 'a/b'])('does not leave its folder for %j', async (registry) => {
    folder.write('.docker/ca.crt', pem('A'))
    expect(await find(registry)).toEqual({})
  })
})
