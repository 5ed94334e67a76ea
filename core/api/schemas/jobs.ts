// Long work that outlives the request that started it: pulls, imports, root image builds.
import { z } from 'zod'
import { timestamp } from './common.ts'

export const jobKind = z.enum(['pull', 'import', 'export', 'build'])
export const jobState = z.enum(['running', 'done', 'failed', 'cancelled'])

export const jobProgress = z.strictObject({
  /**
   * `start`, `resolve`, `download` (layers are unpacked while others come), `receive`, `verify`, `unpack`, `merge`, `write`,
   * `sync`, `send`.
   */
  phase: z.string(),
  bytesDone: z.number(),
  /** 0 while it is not known. */
  bytesTotal: z.number(),
  /** One entry for each layer of a download. */
  layers: z
    .array(
      z.strictObject({
        digest: z.string(),
        bytesDone: z.number(),
        bytesTotal: z.number(),
        /** `waiting`, `active` (its bytes come), `unpacking`, `done`, `present` (it was there before). */
        state: z.string(),
      }),
    )
    .readonly()
    .default([]),
  /** What the registry says about its limit of pulls. */
  rateLimit: z
    .strictObject({ limit: z.number(), remaining: z.number(), windowSeconds: z.number().optional() })
    .optional(),
})

export const errorBody = z.strictObject({
  code: z.string(),
  message: z.string(),
  hint: z.string().optional(),
  data: z.record(z.string(), z.unknown()).optional(),
})

export const job = z.strictObject({
  id: z.string(),
  kind: jobKind,
  /** What a person would call it: `Pull busybox:latest`. */
  title: z.string(),
  state: jobState,
  startedAt: timestamp,
  finishedAt: timestamp.optional(),
  progress: jobProgress,
  /** References that a finished pull or import brought. */
  references: z.array(z.string()),
  error: errorBody.optional(),
})

export const oneJob = z.strictObject({ job: z.string() })
/** Whether the job is at its end; false where it goes on for others. */
export const leftJob = z.strictObject({ ended: z.boolean() })
export const startedJob = z.strictObject({ job: z.string() })
export const startedImport = z.strictObject({ job: z.string(), ticket: z.string() })
