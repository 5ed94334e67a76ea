import { expect, it } from 'vitest'
import { useRecords } from './records.ts'

interface Thing {
  readonly id: string
  readonly value: number
}
const keyOf = (thing: Thing) => thing.id

it('is loading until it has been fetched, then has what the host has', async () => {
  const records = useRecords(keyOf, async () => [{ id: 'a', value: 1 }])
  expect(records.state.value).toBe('loading')
  await records.refresh()
  expect(records.state.value).toBe('ready')
  expect(records.all.value).toEqual([{ id: 'a', value: 1 }])
})

it('drops what is gone and takes what changed, at each fetch and at each event', async () => {
  let host: Thing[] = [
    { id: 'a', value: 1 },
    { id: 'b', value: 1 },
  ]
  const records = useRecords(keyOf, async () => host)
  await records.refresh()
  records.put({ id: 'c', value: 1 })
  records.remove('a')
  expect(records.all.value.map(keyOf)).toEqual(['b', 'c'])
  host = [{ id: 'b', value: 2 }]
  await records.refresh()
  expect(records.all.value).toEqual([{ id: 'b', value: 2 }])
})

it('keeps what it had when a later fetch fails, and says so', async () => {
  let fails = false
  const records = useRecords(keyOf, async () => {
    if (fails) throw new Error('no answer')
    return [{ id: 'a', value: 1 }]
  })
  await records.refresh()
  fails = true
  await records.refresh()
  expect(records.state.value).toBe('ready')
  expect(records.error.value?.message).toBe('no answer')
  expect(records.all.value.length).toBe(1)
})

it('has failed where it never had anything', async () => {
  const records = useRecords(keyOf, () => Promise.reject(new Error('no answer')))
  await records.refresh()
  expect(records.state.value).toBe('failed')
})
