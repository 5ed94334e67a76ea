// What the main thread and the build worker say to each other. Errors cross as plain data, because a
// structured clone loses their class, code and hint.

import { BulkheadError } from '../../errors.ts'
import type { BuiltDomain, DomainSpec } from './build-spec.ts'
import type { KernelChoice } from './kernel-library.ts'

export type BuildRequest =
  | { readonly kind: 'build'; readonly id: number; readonly spec: DomainSpec }
  /** Unpacks, maps and plans a kernel ahead of its first guest. */
  | { readonly kind: 'prepare'; readonly id: number; readonly kernel: KernelChoice }
  /** Destroys the domain with this UUID, if there is one: what a dead worker may have left. */
  | { readonly kind: 'discard'; readonly id: number; readonly uuid: string }
  | { readonly kind: 'abort'; readonly id: number }

export type BuildReply =
  | { readonly kind: 'done'; readonly id: number; readonly domain: BuiltDomain | undefined }
  | { readonly kind: 'failed'; readonly id: number; readonly error: PlainError }

export interface PlainError {
  readonly code: string
  readonly message: string
  readonly hint: string | undefined
  readonly data: Readonly<Record<string, unknown>> | undefined
  readonly stack: string | undefined
}

export function toPlainError(error: unknown): PlainError {
  const known = error instanceof BulkheadError ? error : undefined
  return {
    code: known?.code ?? 'build.failed',
    message: error instanceof Error ? error.message : String(error),
    hint: known?.hint,
    data: known?.data,
    stack: error instanceof Error ? error.stack : undefined,
  }
}

export function fromPlainError(plain: PlainError): BulkheadError {
  const error = new BulkheadError(plain.code, plain.message, { hint: plain.hint, data: plain.data })
  if (plain.stack !== undefined) error.stack = plain.stack
  return error
}
