// Finding a guest by what a person typed, and naming one that got no name.
import { randomInt } from 'node:crypto'
import { GuestError } from './errors.ts'

interface Named {
  readonly id: string
  readonly name: string
}

/** The guest with this name, this id, or whose id alone begins with these digits. */
export function findGuest<T extends Named>(guests: Iterable<T>, key: string): T {
  const starting: T[] = []
  for (const guest of guests) {
    if (guest.name === key || guest.id === key) return guest
    if (guest.id.startsWith(key)) starting.push(guest)
  }
  const [only, another] = starting
  if (only !== undefined && another === undefined && /^[0-9a-f]+$/.test(key)) return only
  if (another !== undefined)
    throw new GuestError('guest.ambiguous', `More than one guest has an id that begins with "${key}"`, {
      hint: 'Type more digits, or the name.',
    })
  throw new GuestError('guest.not-found', `No guest is called "${key}"`, {
    hint: '"bulkhead ps -a" lists all guests.',
  })
}

const qualities =
  'able bold brisk calm clear deep dry even fair firm fleet glad keen level light lucid merry mild neat noble plain prime proud quick quiet ready rigid round sea sharp snug sober sound spare steady still stout swift taut tidy trim true vivid warm wide'.split(
    ' ',
  )
const things =
  'anchor beacon beam berth boom bow buoy cabin capstan cleat compass cove crane deck dinghy dock fathom ferry galley gauge harbour hatch hawser helm hold hull jetty keel lantern lighthouse locker mast mooring oar pier pilot porthole quay rigging rudder sail sextant shoal spar stern tide tiller wharf winch windlass'.split(
    ' ',
  )

/** A name like `steady-keel` that is not taken. */
export function inventName(isTaken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const base = `${qualities[randomInt(qualities.length)]}-${things[randomInt(things.length)]}`
    const name = attempt < 20 ? base : `${base}-${randomInt(10_000)}`
    if (!isTaken(name)) return name
  }
}
