// The first line of a connection, which says what it is. docs/contracts/control.md.
import type { Socket } from 'node:net'
import { maxFirstLineBytes } from '../api/wire.ts'

/**
 * The next line of a paused socket, without its newline; what comes behind it is put back. Undefined where the
 * socket ends, the line is too long, or `timeoutMs` passes.
 */
export function readLine(socket: Socket, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    let pending = Buffer.alloc(0)
    const timer = setTimeout(() => finish(undefined), timeoutMs)
    const finish = (line: string | undefined, rest?: Buffer) => {
      clearTimeout(timer)
      socket.off('readable', onReadable)
      socket.off('end', onEnd)
      socket.off('close', onEnd)
      socket.off('error', onEnd)
      if (rest !== undefined && rest.length > 0) socket.unshift(rest)
      resolve(line)
    }
    const onEnd = () => finish(undefined)
    const onReadable = () => {
      for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) {
        pending = Buffer.concat([pending, chunk])
        const end = pending.indexOf(10)
        if (end >= 0 && end <= maxFirstLineBytes) {
          finish(pending.toString('utf8', 0, end), pending.subarray(end + 1))
          return
        }
        if (pending.length > maxFirstLineBytes) {
          finish(undefined)
          return
        }
      }
    }
    socket.on('readable', onReadable)
    socket.on('end', onEnd)
    socket.on('close', onEnd)
    socket.on('error', onEnd)
    onReadable()
  })
}
