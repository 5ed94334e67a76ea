// A page's requests are parsed before anything is done with them: a page that was taken over must not get further
// than a page of ours could. The core host parses methods' parameters again with its schemas.
import { type PageMethod, pageMethods, type TerminalRequest } from '../preload/api.ts'
import type { ConnectAction } from '../preload/connection-status.ts'
import type { Settings } from '../preload/settings.ts'
import type { FromPage } from '../preload/terminal-messages.ts'
import { appError } from './app-error.ts'
import { isExternalUrl } from './navigation-rule.ts'

type Json = Record<string, unknown>

const refuse = (what: string) => appError('app.bad-request', `The page sent ${what} that is not understood`)

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isOneOf<T extends string>(value: unknown, allowed: readonly T[]): value is T {
  return allowed.some((one) => one === value)
}

export function parseMethod(value: unknown): PageMethod {
  if (!isOneOf(value, pageMethods)) throw refuse('a method')
  return value
}

export function parseParams(value: unknown): Json {
  if (!isRecord(value)) throw refuse('parameters')
  return value
}

export function parseConnectAction(value: unknown): ConnectAction {
  if (!isOneOf(value, ['retry', 'start-core', 'start-lab'])) throw refuse('an action')
  return value
}

export function parseTerminalRequest(value: unknown): TerminalRequest {
  if (!isRecord(value)) throw refuse('a terminal request')
  const { guest, kind } = value
  if (typeof guest !== 'string' || guest.length > 128 || !isOneOf(kind, ['stdio', 'console']))
    throw refuse('a terminal request')
  return { guest, kind }
}

export function parseExternalUrl(value: unknown): string {
  if (typeof value !== 'string' || !isExternalUrl(value)) throw refuse('an address')
  return value
}

/** Only what is known and has a sensible value; the rest is left out. */
export function parseSettings(value: unknown): Partial<Settings> {
  if (!isRecord(value)) throw refuse('settings')
  const { theme, onQuit, terminalFontSize: size } = value
  return {
    ...(isOneOf(theme, ['system', 'light', 'dark']) ? { theme } : {}),
    ...(isOneOf(onQuit, ['ask', 'keep', 'stop']) ? { onQuit } : {}),
    ...(typeof size === 'number' && size >= 8 && size <= 32 ? { terminalFontSize: Math.round(size) } : {}),
  }
}

/** Most bytes of one message of keystrokes; a paste comes in several. */
const maxInputBytes = 1024 * 1024

/** A message on a terminal's port; undefined where it is none of ours. */
export function parseTerminalMessage(value: unknown): FromPage | undefined {
  if (!isRecord(value)) return undefined
  const { type, bytes, rows, columns, stream, offset } = value
  if (type === 'input' && bytes instanceof Uint8Array && bytes.length <= maxInputBytes) return { type, bytes }
  if (type === 'resize' && isTerminalSize(rows) && isTerminalSize(columns)) return { type, rows, columns }
  const isOffset = typeof offset === 'number' && Number.isSafeInteger(offset) && offset >= 0
  if (type === 'ack' && (stream === 1 || stream === 2) && isOffset) return { type, stream, offset }
  return undefined
}

function isTerminalSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535
}
