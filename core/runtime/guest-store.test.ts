import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { domainUuid, type GuestRecord } from './guest-record.ts'
import { GuestStore } from './guest-store.ts'

const example: GuestRecord = JSON.parse(
  readFileSync(new URL('../../docs/contracts/guest.example.json', import.meta.url), 'utf8'),
)
let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'guest-store-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

describe('GuestStore', () => {
  it('keeps the record of the contract as it is', async () => {
    const store = new GuestStore(folder)
    await store.save(example)
    expect(await store.load(() => expect.unreachable())).toEqual([example])
    expect(JSON.parse(readFileSync(join(folder, example.id, 'guest.json'), 'utf8'))).toEqual(example)
  })

  it('reads a record of version 1 as that of a guest without a network', async () => {
    const { network: _network, ...old } = example
    mkdirSync(join(folder, example.id))
    writeFileSync(
      join(folder, example.id, 'guest.json'),
      JSON.stringify({ ...old, formatVersion: 1, spec: { ...old.spec, network: 'none' } }),
    )
    const [record] = await new GuestStore(folder).load(() => expect.unreachable())
    expect(record).toEqual({
      ...old,
      spec: {
        ...old.spec,
        network: {
          kind: 'none',
          ports: [],
          guests: true,
          policy: [],
          dns: { servers: [], search: [], options: [] },
        },
      },
    })
  })

  it('clears away a guest whose making was cut short', async () => {
    mkdirSync(join(folder, 'a'.repeat(64)))
    expect(await new GuestStore(folder).load(() => expect.unreachable())).toEqual([])
    expect(existsSync(join(folder, 'a'.repeat(64)))).toBe(false)
  })

  it.each([
    ['not JSON', '{', /it is not JSON/],
    ['a newer format', '{"formatVersion":3}', /its format is 3, this program knows 2/],
    ['of another guest', JSON.stringify({ ...example, id: 'b'.repeat(64) }), /not the record of this guest/],
  ])('reports a record that is %s and leaves it alone', async (_name, text, reason) => {
    mkdirSync(join(folder, example.id))
    writeFileSync(join(folder, example.id, 'guest.json'), text)
    const bad: string[] = []
    expect(await new GuestStore(folder).load((_id, error) => bad.push(error.message))).toEqual([])
    expect(bad).toEqual([expect.stringMatching(reason)])
    expect(existsSync(join(folder, example.id, 'guest.json'))).toBe(true)
  })
})

describe('domainUuid()', () => {
  it('is the first half of the id', () => {
    expect(domainUuid(example.id)).toBe('3b1c5c1e-0c2f-4d7a-9e8b-7c6d5e4f3a2b')
  })
})
