// The core host's doors: the unix socket for this machine's users, and in a lab a TCP port for the lab process.
// docs/contracts/control.md.

import { timingSafeEqual } from 'node:crypto'
import { chmod, mkdir, unlink } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { type AcceptedRpc, type AcceptedStream, protocolVersion, rpcLine } from '../api/wire.ts'
import type { StreamSession } from '../runtime/broker/stream-session.ts'
import { errorBody } from '../runtime/jobs.ts'
import { peerCredentials } from '../sys/peer-credentials.ts'
import { authorise, type Role } from './authorisation.ts'
import { HostError } from './errors.ts'
import { readLine } from './first-line.ts'
import { serveStream, windowBytes } from './stream-connection.ts'

export interface ServerOptions {
  readonly socketPath: string
  /** A listening socket that was handed over (systemd's LISTEN_FDS) instead of `socketPath`. */
  readonly listenFd?: number | undefined
  /** A user who may do all, beside root and the group. */
  readonly ownerUid?: number | undefined
  readonly lab?: { readonly host: string; readonly port: number; readonly token: string } | undefined
  readonly version: string
  readonly redeemTicket: (ticket: string) => StreamSession | undefined
  /** Serves JSON-RPC until the connection closes. */
  readonly serveRpc: (socket: Socket, role: Role) => Promise<void>
  readonly log: (message: string) => void
}

const firstLineTimeoutMs = 10_000

export class CoreServer {
  readonly #options: ServerOptions
  readonly #servers: Server[] = []
  readonly #sockets = new Set<Socket>()

  private constructor(options: ServerOptions) {
    this.#options = options
  }

  /** Listens; throws `host.already-running` where another core host answers on the socket. */
  static async start(options: ServerOptions): Promise<CoreServer> {
    const server = new CoreServer(options)
    await server.#listenLocal()
    if (options.lab !== undefined) await server.#listenLab(options.lab)
    return server
  }

  async close(): Promise<void> {
    const closed = this.#servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    )
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
    if (this.#options.listenFd === undefined) await unlink(this.#options.socketPath).catch(() => undefined)
  }

  async #listenLocal(): Promise<void> {
    const { socketPath, listenFd } = this.#options
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
      this.#accept(socket, () => this.#decide(socket)),
    )
    if (listenFd !== undefined) {
      await listening(server, () => server.listen({ fd: listenFd }))
    } else {
      await mkdir(dirname(socketPath), { recursive: true, mode: 0o755 })
      if (await answers(socketPath))
        throw new HostError('host.already-running', `Another core host is listening on ${socketPath}`, {
          hint: 'One core host owns all guests of a machine; stop that one first.',
        })
      await unlink(socketPath).catch(() => undefined)
      await listening(server, () => server.listen(socketPath))
      // Open to all: who may do what is decided from peer credentials.
      await chmod(socketPath, 0o666)
    }
    this.#servers.push(server)
  }

  #decide(socket: Socket): Promise<Role> | Role {
    const peer = peerCredentials(socket)
    return peer.uid === this.#options.ownerUid ? 'manage' : authorise(peer)
  }

  async #listenLab(lab: { host: string; port: number; token: string }): Promise<void> {
    const expected = Buffer.from(`token ${lab.token}`)
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
      this.#accept(socket, async (): Promise<Role> => {
        const line = Buffer.from((await readLine(socket, firstLineTimeoutMs)) ?? '')
        if (line.length === expected.length && timingSafeEqual(line, expected)) return 'manage'
        throw new HostError('host.not-allowed', "The connection did not bring this lab's token")
      }),
    )
    await listening(server, () => server.listen(lab.port, lab.host))
    this.#servers.push(server)
  }

  #accept(socket: Socket, decide: () => Promise<Role> | Role): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    // Errors of a connection end that connection; 'close' follows.
    socket.on('error', () => undefined)
    this.#serve(socket, decide).catch((error: unknown) => {
      const { code, message, hint } = errorBody(error)
      if (!(error instanceof HostError)) this.#options.log(`A connection failed: ${String(error)}`)
      if (!socket.destroyed)
        socket.end(
          `refused ${JSON.stringify({ code, message, ...(hint === undefined ? {} : { hint }) })}\n`,
          () => socket.destroy(),
        )
    })
  }

  async #serve(socket: Socket, decide: () => Promise<Role> | Role): Promise<void> {
    const role = await decide()
    const line = await readLine(socket, firstLineTimeoutMs)
    if (line === undefined) {
      socket.destroy()
      return
    }
    if (line === rpcLine) {
      const accepted: AcceptedRpc = { protocol: protocolVersion, version: this.#options.version }
      socket.write(`ok ${JSON.stringify(accepted)}\n`)
      await this.#options.serveRpc(socket, role)
      return
    }
    const ticket = /^stream ([0-9a-f]{32})$/.exec(line)?.[1]
    if (ticket === undefined)
      throw new HostError(
        'host.unknown-greeting',
        `A connection began with ${JSON.stringify(line.slice(0, 40))}, which this core host does not speak`,
        {
          hint: `It speaks "${rpcLine}" and "stream TICKET"; perhaps the client is of another version.`,
        },
      )
    const session = this.#options.redeemTicket(ticket)
    if (session === undefined)
      throw new HostError('stream.bad-ticket', 'The ticket of this stream is used up or too old', {
        hint: 'Open the stream again.',
      })
    const accepted: AcceptedStream = { kind: session.kind, window: windowBytes, terminal: session.terminal }
    socket.write(`ok ${JSON.stringify(accepted)}\n`)
    await serveStream(socket, session)
  }
}

function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.once('listening', () => {
      server.off('error', reject)
      resolve()
    })
    listen()
  })
}

/** Whether someone accepts connections there; a socket file left by a dead process does not count. */
function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socketPath)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', () => resolve(false))
  })
}
