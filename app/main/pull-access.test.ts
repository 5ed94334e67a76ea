import { expect, it } from 'vitest'
import { pullWithAccess } from './pull-access.ts'

const credentials = { username: 'me', password: 'x' }

it("pullWithAccess() adds the person's own way to the registry", async () => {
  const asked: string[] = []
  const accessFor = async (reference: string) => {
    asked.push(reference)
    return { credentials }
  }
  expect(await pullWithAccess({ reference: 'a.io/b', plainHttp: true }, accessFor)).toEqual({
    reference: 'a.io/b',
    plainHttp: true,
    credentials,
  })
  expect(asked).toEqual(['a.io/b'])
})

it('pullWithAccess() takes no proxy, authority or credentials from a page', async () => {
  const request = {
    reference: 'a.io/b',
    proxy: { https: 'http://evil:1' },
    certificateAuthority: 'evil',
    trustedRealms: ['evil.io'],
    credentials: { username: 'evil', password: 'x' },
  }
  expect(await pullWithAccess(request, async () => ({ credentials }))).toEqual({
    reference: 'a.io/b',
    credentials,
  })
})

it('pullWithAccess() looks nothing up for what is no reference', async () => {
  const accessFor = () => Promise.reject(new Error('asked'))
  expect(await pullWithAccess({ reference: 7 }, accessFor)).toEqual({ reference: 7 })
})
