// Asking for a stream; the bytes travel as docs/contracts/streams.md says.
import { z } from 'zod'
import { guestKey } from './common.ts'

export const openStream = z.discriminatedUnion('kind', [
  z.strictObject({
    /** The program's stdin, stdout and stderr, or its terminal. */
    kind: z.literal('stdio'),
    guest: guestKey,
    /** Lossless readers hold the program back; others get skip markers. */
    lossless: z.boolean().default(false),
    stdin: z.boolean().default(false),
    /** Begin with what is still remembered (`start`), or with what comes next (`now`). */
    from: z.enum(['start', 'now']).default('start'),
  }),
  z.strictObject({
    /** hvc0: the kernel's and guest-init's words. Input goes to the kernel's console. */
    kind: z.literal('console'),
    guest: guestKey,
    from: z.enum(['start', 'now']).default('start'),
  }),
  z.strictObject({
    /** What was written so far, from the log files, then what comes if `follow`. */
    kind: z.literal('logs'),
    guest: guestKey,
    source: z.enum(['stdio', 'boot']).default('stdio'),
    follow: z.boolean().default(false),
    tailLines: z.number().int().min(0).optional(),
  }),
])

export const openedStream = z.strictObject({ ticket: z.string() })
