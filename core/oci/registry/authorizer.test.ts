import { once } from 'node:events'
import { createServer } from 'node:http'
import { expect, test } from 'vitest'
import { Authorizer } from './authorizer.ts'
import { parseChallenges } from './challenge.ts'
import { HttpClient } from './http-client.ts'

/** A token server that numbers its tokens, and an authorizer with a clock to turn. */
async function withTokens(
  expiresIn: number | undefined,
  run: (parts: Parts) => Promise<void>,
): Promise<void> {
  let issued = 0
  const server = createServer((_, response) => {
    issued += 1
    response.end(JSON.stringify({ token: `t${issued}`, expires_in: expiresIn }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  await using client = new HttpClient({})
  const clock = { nowMs: 1_000_000 }
  const registry = new URL(`http://127.0.0.1:${port}`)
  const authorizer = new Authorizer({
    registry,
    trustedHosts: [],
    scope: 'repository:web:pull',
    clientFor: () => client,
    now: () => clock.nowMs,
  })
  const challenges = parseChallenges(`Bearer realm="${registry.origin}/token"`)
  try {
    await run({ clock, authorizer, challenges })
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

interface Parts {
  readonly clock: { nowMs: number }
  readonly authorizer: Authorizer
  readonly challenges: ReturnType<typeof parseChallenges>
}

test.each([
  [300, 295],
  [undefined, 55],
  [5, 55],
])('a token with expires_in %s is used for %s seconds', async (expiresIn, seconds) => {
  await withTokens(expiresIn, async ({ clock, authorizer, challenges }) => {
    expect(authorizer.header).toBeUndefined()
    await authorizer.answer({ challenges, refused: undefined, isRepeated: false })
    clock.nowMs += seconds * 1000
    expect(authorizer.header).toBe('Bearer t1')
    clock.nowMs += 1
    expect(authorizer.header).toBeUndefined()
  })
})

test('all who are refused at the same time get one token, and who comes late gets it too', async () => {
  await withTokens(300, async ({ authorizer, challenges }) => {
    const demand = { challenges, refused: undefined, isRepeated: false }
    await Promise.all([authorizer.answer(demand), authorizer.answer(demand), authorizer.answer(demand)])
    await authorizer.answer(demand)
    expect(authorizer.header).toBe('Bearer t1')
    await authorizer.answer({ ...demand, refused: 'Bearer t1' })
    expect(authorizer.header).toBe('Bearer t2')
  })
})

test('who leaves while a token is fetched takes nobody else along', async () => {
  await withTokens(300, async ({ authorizer, challenges }) => {
    const demand = { challenges, refused: undefined, isRepeated: false }
    const leaving = new AbortController()
    const first = authorizer.answer({ ...demand, signal: leaving.signal })
    const second = authorizer.answer(demand)
    leaving.abort()
    await expect(first).rejects.toMatchObject({ code: 'oci.cancelled' })
    await second
    expect(authorizer.header).toMatch(/^Bearer t/)
  })
})
