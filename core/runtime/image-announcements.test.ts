import { beforeEach, describe, expect, it } from 'vitest'
import type { CoreEvent, ImageSummary } from '../api/methods.ts'
import { EventHub } from './event-hub.ts'
import { ImageAnnouncements } from './image-announcements.ts'

let there: Map<string, ImageSummary>
let told: CoreEvent[]
let announcements: ImageAnnouncements
let failure: Error | undefined
beforeEach(() => {
  there = new Map()
  told = []
  failure = undefined
  const events = new EventHub()
  events.subscribe(({ event }) => told.push(event))
  announcements = new ImageAnnouncements(events, async () => {
    if (failure !== undefined) throw failure
    return [...there.values()]
  })
})

const put = (reference: string, digest: string, usedBy: string[] = []) =>
  there.set(reference, { reference, digest, usedBy, sizeBytes: 1, platform: 'linux/amd64' })
const words = () =>
  told
    .splice(0)
    .map((event) =>
      event.type === 'image'
        ? `${event.image.reference}=${event.image.digest}`
        : event.type === 'image-removed'
          ? `-${event.reference}`
          : event.type,
    )

describe('ImageAnnouncements', () => {
  it('tells nothing of what was there before', async () => {
    put('old', '1')
    await announcements.during(async () => void put('new', '2'))
    expect(words()).toEqual(['new=2'])
  })

  it('tells what a change brought along', async () => {
    put('web', '1')
    await announcements.during(async () => {
      put('web', '2')
      put('web@1', '1')
    })
    expect(words()).toEqual(['web=2', 'web@1=1'])
    await announcements.during(async () => void there.delete('web@1'))
    expect(words()).toEqual(['-web@1'])
  })

  it('tells what a change did before it failed', async () => {
    const failing = announcements.during(async () => {
      put('half', '1')
      throw new Error('the disk is full')
    })
    await expect(failing).rejects.toThrow('the disk is full')
    expect(words()).toEqual(['half=1'])
  })

  it('tells each of two changes at the same time once', async () => {
    const [one, two] = ['one', 'two'].map((name) => announcements.during(async () => void put(name, name)))
    await Promise.all([one, two])
    expect(words().toSorted()).toEqual(['one=one', 'two=two'])
  })

  it('leaves who uses an image to the events of guests', async () => {
    put('web', '1')
    await announcements.during(async () => void put('web', '1', ['guest']))
    expect(words()).toEqual([])
  })

  it('tells later what it could not find out', async () => {
    await announcements.during(async () => {
      put('web', '1')
      failure = new Error('the worker has ended')
    })
    expect(words()).toEqual([])
    failure = undefined
    await announcements.during(async () => undefined)
    expect(words()).toEqual(['web=1'])
  })

  it('does not stand in the way of what repairs the list, and tells then what is there', async () => {
    put('web', '1')
    failure = new Error('the list of images is damaged')
    await announcements.during(async () => {
      failure = undefined
    })
    expect(words()).toEqual(['web=1'])
  })
})
