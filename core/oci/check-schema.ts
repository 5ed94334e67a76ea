// Turns what zod says about a foreign document into one sentence of ours.

import type { z } from 'zod'
import { OciError } from './errors.ts'

/** Checks a value against a schema. `what` names the document. Throws `oci.corrupt-image` with the first complaint. */
export function checkSchema<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const path = issue === undefined || issue.path.length === 0 ? 'it' : JSON.stringify(issue.path.join('.'))
  const complaint = issue?.message ?? 'does not follow its specification'
  throw new OciError('oci.corrupt-image', `Cannot read ${what}: ${path}: ${complaint}`)
}
