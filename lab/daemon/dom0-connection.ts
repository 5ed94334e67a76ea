// Carries connections into dom0 over forwarded loopback ports. Those are open to every user of this machine, so each
// connection starts with a secret that is new with every start of the lab.

import { connect, type Socket } from 'node:net'
import { LineReader } from '../agent/protocol.ts'

const answerTimeoutMs = 5000

/** Opens a connection to a forwarded port and sends the token. */
export function connectToDom0(port: number, token: string): Socket {
  const inner = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true })
  inner.write(`token ${token}\n`)
  return inner
}

/** Joins two connections, each direction ending by itself; when one breaks, so does the other. */
export function carry(outer: Socket, inner: Socket): void {
  outer.pipe(inner)
  inner.pipe(outer)
  for (const [one, other] of [
    [outer, inner],
    [inner, outer],
  ] as const) {
    one.on('error', () => other.destroy())
    one.on('close', () => {
      if (one.errored || !one.readableEnded) other.destroy()
    })
  }
}

/** Whether the core host answers the first line of the control API (docs/contracts/control.md). */
export function coreAnswers(port: number, token: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connectToDom0(port, token)
    const lines = new LineReader()
    const end = (answers: boolean) => {
      connection.destroy()
      resolve(answers)
    }
    connection.setTimeout(answerTimeoutMs, () => end(false))
    connection.on('error', () => end(false))
    connection.on('close', () => end(false))
    connection.on('end', () => end(false))
    connection.on('data', (chunk) => {
      const [first] = lines.push(chunk)
      if (first !== undefined) end(first.startsWith('ok '))
    })
    connection.write('rpc 1\n')
  })
}
