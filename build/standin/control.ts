// The remote control that tests have over the stand-in: JSON lines on a descriptor that the launcher inherited
// (`STANDIN_CONTROL_FD`). It plays the person at the desktop: clicks the tray, answers dialogs, reads what was
// shown. Without the descriptor there is no control and nothing listens.
import { Socket } from 'node:net'
import { createInterface } from 'node:readline'

type Action = (params: Record<string, unknown>) => unknown

const actions = new Map<string, Action>()
const descriptor = process.env.STANDIN_CONTROL_FD
const socket = descriptor === undefined ? undefined : new Socket({ fd: Number(descriptor) })

/** True where somebody plays the desktop: dialogs then wait for an answer over the control. */
export const isControlled = socket !== undefined

/** Lets the other end call `name`; what `action` returns goes back. */
export function onControl(name: string, action: Action): void {
  actions.set(name, action)
}

/** Tells the other end that something happened. */
export function report(event: string, detail: unknown): void {
  socket?.write(`${JSON.stringify({ event, detail })}\n`)
}

async function answer(line: string): Promise<void> {
  const { id, name, params } = JSON.parse(line) as {
    id: number
    name: string
    params: Record<string, unknown>
  }
  try {
    const action = actions.get(name)
    if (action === undefined) throw new Error(`The stand-in has no action "${name}"`)
    socket?.write(`${JSON.stringify({ id, result: (await action(params)) ?? null })}\n`)
  } catch (error) {
    socket?.write(
      `${JSON.stringify({ id, error: error instanceof Error ? error.message : String(error) })}\n`,
    )
  }
}

if (socket !== undefined) {
  createInterface({ input: socket }).on('line', (line) => void answer(line))
  socket.on('error', () => socket.destroy())
  // Whoever held the other end is gone, and nobody else knows of this app.
  socket.on('close', () => process.exit(0))
}
