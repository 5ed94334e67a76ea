import { expect, test } from 'vitest'
import { digestOf } from './digest.ts'
import { embeddedContent } from './embedded-content.ts'

const bytes = Buffer.from('{}')
const descriptor = { mediaType: 'text/plain', digest: digestOf(bytes), size: 2 }
const read = (extra: object) => embeddedContent({ ...descriptor, ...extra }, 'the config')

test('embeddedContent() gives what is there, verified, and nothing where there is nothing', () => {
  expect(read({})).toBeUndefined()
  expect(read({ data: 'e30=' })).toEqual(bytes)
  expect(read({ data: 'e30=', digest: digestOf(bytes, 'sha512') })).toEqual(bytes)
  expect(read({ data: '', size: 0, digest: digestOf(Buffer.alloc(0)) })).toEqual(Buffer.alloc(0))
})

test.each([
  ['oci.corrupt-image', 'e30'],
  ['oci.corrupt-image', 'e3-='],
  ['oci.corrupt-image', ' e30='],
  ['oci.size-mismatch', 'e30K'],
  ['oci.size-mismatch', ''],
  ['oci.digest-mismatch', 'e3s='],
])('embeddedContent() throws %s for %j', (code, data) => {
  expect(() => read({ data })).toThrow(expect.objectContaining({ code }))
})
