// Pieces that several schemas share: names, ids, references, times.
import { z } from 'zod'

/** A guest as a person names it: its name, its id, or the first digits of its id. */
export const guestKey = z.string().min(1).max(128)

/** A guest's own name; also Xen's name of the domain. */
export const guestName = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9_.-]{0,62}$/,
    'must be 1 to 63 of a-z, 0-9, "_", "." and "-", beginning with a letter or digit',
  )

/** The 64 hex digits of a guest's id. */
export const guestId = z.string().regex(/^[0-9a-f]{64}$/)

/** An image as a person names it: a reference, an id, or the first digits of an id. */
export const imageKey = z.string().min(1).max(512)

export const timestamp = z.iso.datetime()

/** Parameters of methods that take none. */
export const nothing = z.strictObject({})
