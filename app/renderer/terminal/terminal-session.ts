// One console as the page holds it: an xterm that outlives the views that show it, fed by a port that brings the
// guest's bytes. Leaving a page detaches the view, never the session.
import { FitAddon } from '@xterm/addon-fit'
import { Unicode11Addon } from '@xterm/addon-unicode11'
import { WebLinksAddon } from '@xterm/addon-web-links'
import { Terminal } from '@xterm/xterm'
import { shallowRef } from 'vue'
import type { ErrorBody, ExitRecord } from '../../../core/api/methods.ts'
import type { TerminalRequest } from '../../preload/api.ts'
import type { FromPage, TerminalStream, ToPage } from '../../preload/terminal-messages.ts'
import { api, errorBodyOf } from '../bridge/api.ts'
import { terminalPort } from '../bridge/terminal-ports.ts'
import { text } from '../text/en.ts'
import { formatBytes } from '../text/units.ts'
import { ParseProgress } from './parse-progress.ts'
import { currentTerminalTheme, onThemeChange } from './terminal-theme.ts'

export type SessionState =
  | { readonly is: 'opening' }
  | { readonly is: 'live'; readonly terminal: boolean }
  | { readonly is: 'finished'; readonly exit: ExitRecord | undefined }
  | { readonly is: 'failed'; readonly error: ErrorBody }

export interface SessionOptions {
  readonly request: TerminalRequest
  readonly label: string
  readonly fontSize: number
  readonly onLink: (url: string) => void
}

const faint = (words: string): string => `\u001b[2m${words}\u001b[22m`

export class TerminalSession {
  readonly state = shallowRef<SessionState>({ is: 'opening' })
  readonly hasOutput = shallowRef(false)
  readonly terminal: Terminal
  readonly #request: TerminalRequest
  readonly #fit = new FitAddon()
  readonly #host = document.createElement('div')
  readonly #resizes: ResizeObserver
  readonly #stopTheme: () => void
  #port: MessagePort | undefined
  #progress: Record<TerminalStream, ParseProgress> | undefined
  /** Up to where each stream was written; what comes again after attaching anew is dropped. */
  #written: Record<TerminalStream, number> = { 1: 0, 2: 0 }
  #opening = 0

  constructor({ request, label, fontSize, onLink }: SessionOptions) {
    this.#request = request
    this.terminal = new Terminal({
      allowProposedApi: true,
      cursorBlink: false,
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue('--font-mono'),
      fontSize,
      lineHeight: 1.15,
      scrollback: 10_000,
      theme: currentTerminalTheme(),
    })
    this.terminal.loadAddon(this.#fit)
    this.terminal.loadAddon(new Unicode11Addon())
    this.terminal.unicode.activeVersion = '11'
    this.terminal.loadAddon(new WebLinksAddon((_event, url) => onLink(url)))
    this.terminal.attachCustomKeyEventHandler((event) => this.#onKey(event))
    this.terminal.onData((data) => this.#send(new TextEncoder().encode(data)))
    this.terminal.onBinary((data) =>
      this.#send(Uint8Array.from(data, (character) => character.charCodeAt(0))),
    )
    this.terminal.onResize(({ rows, cols }) => this.#post({ type: 'resize', rows, columns: cols }))
    this.#host.className = 'terminal-host'
    this.#resizes = new ResizeObserver(() => this.fit())
    this.#stopTheme = onThemeChange(() => {
      this.terminal.options.theme = currentTerminalTheme()
    })
    this.#label = label
    void this.open()
  }

  readonly #label: string

  /** Shows the session in `parent`. */
  attach(parent: HTMLElement): void {
    parent.append(this.#host)
    if (this.terminal.element === undefined) {
      this.terminal.open(this.#host)
      this.terminal.textarea?.setAttribute('aria-label', this.#label)
    }
    this.#resizes.observe(this.#host)
    this.fit()
  }

  detach(): void {
    this.#resizes.disconnect()
    this.#host.remove()
  }

  focus(): void {
    this.terminal.focus()
  }

  fit(): void {
    if (this.#host.isConnected && this.#host.clientHeight > 0) this.#fit.fit()
  }

  setFontSize(size: number): void {
    this.terminal.options.fontSize = size
    this.fit()
  }

  /** The guest was started again: its streams begin anew, what was shown stays above a line. */
  restart(): void {
    this.terminal.write(`\r\n${faint(text.terminal.restarted)}\r\n`)
    this.#written = { 1: 0, 2: 0 }
    void this.open()
  }

  /** Attaches to the guest's stream, anew where there was one. */
  async open(): Promise<void> {
    this.#opening += 1
    const opening = this.#opening
    this.#release()
    this.state.value = { is: 'opening' }
    try {
      const { terminal } = await api.openTerminal(this.#request)
      const port = await terminalPort(terminal)
      // Somebody opened it once more in the meantime.
      if (opening !== this.#opening) return port.close()
      this.#take(port)
    } catch (error) {
      if (opening === this.#opening) this.state.value = { is: 'failed', error: errorBodyOf(error) }
    }
  }

  dispose(): void {
    this.#opening += 1
    this.#release()
    this.detach()
    this.#stopTheme()
    this.terminal.dispose()
  }

  #take(port: MessagePort): void {
    this.#port = port
    const acknowledge = (stream: TerminalStream) =>
      new ParseProgress((offset) => this.#post({ type: 'ack', stream, offset }))
    this.#progress = { 1: acknowledge(1), 2: acknowledge(2) }
    port.onmessage = ({ data }: MessageEvent<ToPage>) => this.#receive(data)
  }

  #release(): void {
    this.#progress?.[1].dispose()
    this.#progress?.[2].dispose()
    this.#progress = undefined
    this.#port?.close()
    this.#port = undefined
  }

  #receive(message: ToPage): void {
    switch (message.type) {
      case 'opened':
        // A program without a terminal writes lines that end with a newline alone.
        this.terminal.options.convertEol = !message.terminal && this.#request.kind === 'stdio'
        this.terminal.options.disableStdin = !message.terminal
        this.state.value = { is: 'live', terminal: message.terminal }
        if (message.terminal) {
          const { rows, cols } = this.terminal
          this.#post({ type: 'resize', rows, columns: cols })
        }
        break
      case 'data':
        this.#write(message.stream, message.offset, message.bytes)
        break
      case 'skip':
        this.#written[message.stream] = Math.max(this.#written[message.stream], message.offset)
        this.terminal.write(`\r\n${faint(text.terminal.skipped(formatBytes(message.skippedBytes, ' ')))}\r\n`)
        break
      case 'finished':
        this.state.value = { is: 'finished', exit: message.exit }
        break
      case 'failed':
        this.state.value = { is: 'failed', error: message.error }
        break
    }
  }

  #write(stream: TerminalStream, offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.length
    if (bytes.length > 0) this.hasOutput.value = true
    const known = Math.min(Math.max(this.#written[stream] - offset, 0), bytes.length)
    this.#written[stream] = Math.max(this.#written[stream], end)
    const progress = this.#progress?.[stream]
    this.terminal.write(known === 0 ? bytes : bytes.subarray(known), () => progress?.parsedTo(end))
  }

  #send(bytes: Uint8Array): void {
    const { value } = this.state
    if (value.is === 'live' && value.terminal) this.#post({ type: 'input', bytes })
  }

  #post(message: FromPage): void {
    this.#port?.postMessage(message)
  }

  /** Ctrl+Shift+C and +V as in every terminal of the desktop; false: xterm leaves the key alone. */
  #onKey(event: KeyboardEvent): boolean {
    if (event.type !== 'keydown' || !event.ctrlKey || !event.shiftKey) return true
    if (event.code === 'KeyC' && this.terminal.hasSelection()) {
      event.preventDefault()
      void navigator.clipboard.writeText(this.terminal.getSelection())
      return false
    }
    if (event.code === 'KeyV') {
      event.preventDefault()
      void navigator.clipboard.readText().then((pasted) => this.terminal.paste(pasted))
      return false
    }
    return true
  }
}
