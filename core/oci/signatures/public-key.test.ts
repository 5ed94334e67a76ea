import { constants, createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { isSignedBy, parsePublicKey } from './public-key.ts'

const message = Buffer.from('what is signed')
const spki = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString()
const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve })
const rsa = (modulusLength: number, publicExponent = 65537) =>
  generateKeyPairSync('rsa', { modulusLength, publicExponent })

describe('parsePublicKey()', () => {
  test('names a key by the SHA-256 of its SubjectPublicKeyInfo', () => {
    const { publicKey } = ec('P-256')
    const der = publicKey.export({ type: 'spki', format: 'der' })
    expect(parsePublicKey(spki(publicKey)).id).toBe(createHash('sha256').update(der).digest('hex'))
  })

  test.each([
    ['ECDSA P-256', ec('P-256')],
    ['ECDSA P-384', ec('P-384')],
    ['ECDSA P-521', ec('P-521')],
    ['Ed25519', generateKeyPairSync('ed25519')],
    ['RSA 2048', rsa(2048)],
  ])('takes %s', (kind, { publicKey }) => {
    expect(parsePublicKey(`\n${spki(publicKey).replaceAll('\n', '\r\n')}`).kind).toBe(kind)
  })

  test.each([
    ['an RSA key of 1024 bits', rsa(1024), 'too weak'],
    ['an RSA key with a small exponent', rsa(2048, 3), 'too weak'],
    ['a curve of bitcoin', ec('secp256k1'), 'its curve is not P-256, P-384 or P-521'],
    ['a curve of 224 bits', ec('P-224'), 'its curve is not'],
    ['Ed448', generateKeyPairSync('ed448'), 'do not sign images'],
    ['a key that cannot sign', generateKeyPairSync('x25519'), 'do not sign images'],
  ])('refuses %s', (_, { publicKey }, reason) => {
    expect(() => parsePublicKey(spki(publicKey))).toThrow(reason)
  })

  const { publicKey, privateKey } = ec('P-256')
  test.each([
    ['nothing', ''],
    ['a private key', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()],
    ['two keys', `${spki(publicKey)}${spki(publicKey)}`],
    ['text around the key', `my key\n${spki(publicKey)}`],
    ['PKCS #1', rsa(2048).publicKey.export({ type: 'pkcs1', format: 'pem' }).toString()],
    ['a block with something else in it', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n'],
    ['endless base64', `-----BEGIN PUBLIC KEY-----\n${'A'.repeat(1_000_000)}\n-----END PUBLIC KEY-----\n`],
  ])('refuses %s', (_, pem) => {
    expect(() => parsePublicKey(pem)).toThrow(expect.objectContaining({ code: 'oci.bad-key' }))
  })
})

describe('isSignedBy()', () => {
  const p384 = ec('P-384')
  const p521 = ec('P-521')
  const rsaPair = rsa(2048)
  const ed = generateKeyPairSync('ed25519')
  const pss = { key: rsaPair.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING }
  test.each([
    ['P-384 with SHA-256', p384.publicKey, sign('sha256', message, p384.privateKey)],
    ['P-384 with SHA-384', p384.publicKey, sign('sha384', message, p384.privateKey)],
    ['P-521 with SHA-256', p521.publicKey, sign('sha256', message, p521.privateKey)],
    ['P-521 with SHA-512', p521.publicKey, sign('sha512', message, p521.privateKey)],
    ['Ed25519', ed.publicKey, sign(null, message, ed.privateKey)],
    ['RSA PKCS #1', rsaPair.publicKey, sign('sha256', message, rsaPair.privateKey)],
    ['RSA PSS, longest salt', rsaPair.publicKey, sign('sha256', message, pss)],
    [
      'RSA PSS, salt as long as the hash',
      rsaPair.publicKey,
      sign('sha256', message, { ...pss, saltLength: 32 }),
    ],
  ])('says yes to %s, and no when a bit of either is changed', (_, publicKey, signature) => {
    const key = parsePublicKey(spki(publicKey))
    expect(isSignedBy(key, message, signature)).toBe(true)
    for (let position = 0; position < signature.length; position += 1) {
      const changed = Buffer.from(signature)
      changed[position] = (changed[position] ?? 0) ^ 1
      expect(isSignedBy(key, message, changed)).toBe(false)
    }
    expect(isSignedBy(key, Buffer.from('what is signeD'), signature)).toBe(false)
    expect(isSignedBy(key, message, signature.subarray(1))).toBe(false)
    expect(isSignedBy(key, message, Buffer.concat([signature, Buffer.of(0)]))).toBe(false)
    expect(isSignedBy(key, message, Buffer.alloc(0))).toBe(false)
  })

  test('says no to SHA-1, whoever signed', () => {
    const key = parsePublicKey(spki(rsaPair.publicKey))
    expect(isSignedBy(key, message, sign('sha1', message, rsaPair.privateKey))).toBe(false)
  })
})
