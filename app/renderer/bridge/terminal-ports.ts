// Ports of terminals come as window messages from the preload; each is handed to whoever asked for that terminal.
import type { TerminalPortMessage } from '../../preload/terminal-messages.ts'

const arrived = new Map<string, MessagePort>()
const waiting = new Map<string, (port: MessagePort) => void>()

function isPortMessage(data: unknown): data is TerminalPortMessage {
  return typeof data === 'object' && data !== null && 'bulkhead' in data && data.bulkhead === 'terminal'
}

window.addEventListener('message', (event) => {
  // Only this very window (its preload) sends them.
  if (event.source !== window || !isPortMessage(event.data)) return
  const { terminal } = event.data
  const [port] = event.ports
  if (port === undefined) return
  const take = waiting.get(terminal)
  waiting.delete(terminal)
  if (take === undefined) arrived.set(terminal, port)
  else take(port)
})

/** The port of a terminal; it may come before or after the answer that names the terminal. */
export function terminalPort(terminal: string): Promise<MessagePort> {
  const port = arrived.get(terminal)
  arrived.delete(terminal)
  if (port !== undefined) return Promise.resolve(port)
  return new Promise((resolve) => waiting.set(terminal, resolve))
}
