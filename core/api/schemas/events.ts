// What changed, in one order, with a revision that has no gaps.
import { z } from 'zod'
import { guestId } from './common.ts'
import { guestSummary } from './guests.ts'
import { imageSummary } from './images.ts'
import { job } from './jobs.ts'
import { networkEngine } from './network.ts'

export const event = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('guest'), guest: guestSummary }),
  z.strictObject({ type: z.literal('guest-removed'), id: guestId, name: z.string() }),
  z.strictObject({ type: z.literal('image'), image: imageSummary }),
  z.strictObject({ type: z.literal('image-removed'), reference: z.string() }),
  z.strictObject({ type: z.literal('job'), job }),
  /** The network engine has ended, or is there again. */
  z.strictObject({ type: z.literal('network'), engine: networkEngine }),
])

export const eventNotification = z.strictObject({ revision: z.number().int(), event })
export const subscribed = z.strictObject({ revision: z.number().int() })
