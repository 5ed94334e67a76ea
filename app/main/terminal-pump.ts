// Carries one stream of the core host to one page's port and back, bytes untouched. What the page acknowledges
// (that is, what its terminal has parsed) is acknowledged to the core host; nothing is kept here.
import type { OpenStream } from '../../core/api/methods.ts'
import type { CoreClient } from '../../core/client/core-client.ts'
import type { CoreStream } from '../../core/client/core-stream.ts'
import type { TerminalRequest } from '../preload/api.ts'
import type { TerminalStream, ToPage } from '../preload/terminal-messages.ts'
import { errorBodyOf } from './envelope.ts'
import { parseTerminalMessage } from './request-parsing.ts'

/** Our end of a channel to the page: what is used of Electron's MessagePortMain. */
export interface TerminalPort {
  postMessage(message: ToPage): void
  on(event: 'message', listener: (event: { data: unknown }) => void): unknown
  on(event: 'close', listener: () => void): unknown
  start(): void
  close(): void
}

/** Pumps until the stream ends or the page closes its port; never rejects, the page is told. */
export async function pumpTerminal(
  client: CoreClient,
  request: TerminalRequest,
  port: TerminalPort,
): Promise<void> {
  const abort = new AbortController()
  port.on('close', () => abort.abort())
  try {
    using stream = await openStream(client, request, port, abort.signal)
    abort.signal.addEventListener('abort', () => stream.close(), { once: true })
    port.start()
    port.postMessage({ type: 'finished', exit: await stream.finished })
  } catch (error) {
    if (!abort.signal.aborted) port.postMessage({ type: 'failed', error: errorBodyOf(error) })
  } finally {
    port.close()
  }
}

async function openStream(
  client: CoreClient,
  request: TerminalRequest,
  port: TerminalPort,
  signal: AbortSignal,
): Promise<CoreStream> {
  const { ticket } = await client.request('streams.open', streamOf(request), { signal })
  /** Up to where bytes were passed on: the page may not acknowledge beyond. */
  const passed: Record<TerminalStream, number> = { 1: 0, 2: 0 }
  const stream = await client.openStream(
    ticket,
    {
      data: (number, bytes, offset) => {
        passed[number] = offset + bytes.length
        // Careful: a view would be cloned together with the whole buffer under it, and a Buffer's slice is a view.
        port.postMessage({ type: 'data', stream: number, offset, bytes: new Uint8Array(bytes) })
      },
      skip: (number, skippedBytes, offset) => {
        passed[number] = offset
        port.postMessage({ type: 'skip', stream: number, offset, skippedBytes })
      },
    },
    { signal },
  )
  port.postMessage({ type: 'opened', terminal: stream.terminal })
  port.on('message', ({ data }) => {
    const message = parseTerminalMessage(data)
    switch (message?.type) {
      case 'input':
        stream.write(message.bytes).catch(() => {
          // The stream broke; `finished` says so.
        })
        break
      case 'resize':
        stream.resize(message.rows, message.columns)
        break
      case 'ack':
        stream.acknowledge(message.stream, Math.min(message.offset, passed[message.stream]))
        break
    }
  })
  return stream
}

function streamOf({ guest, kind }: TerminalRequest): OpenStream {
  if (kind === 'console') return { kind, guest, from: 'start' }
  return { kind, guest, stdin: true, lossless: false, from: 'start' }
}
