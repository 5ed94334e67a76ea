// The engine's packet thread: entry of the worker in which all frames pass. It sleeps in its own epoll loop and never returns
// to Node's; commands of the control thread wait in a port until the loop is woken (thread-commands.ts).
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { BulkheadError } from '../../errors.ts'
import { closeDescriptor } from '../../sys/socket.ts'
import { startCapture } from '../capture/pcapng-writer.ts'
import { NetError } from '../errors.ts'
import { FlowJournal } from '../flow/flow-journal.ts'
import { PacketEngine } from '../packet/packet-engine.ts'
import { PacketLoop } from '../packet/packet-loop.ts'
import { confineThread } from './confinement.ts'
import type { PacketThreadData, ThreadCommand, ThreadReport } from './thread-commands.ts'

/** Flows are told in pieces: one message has a limit. */
const FLOWS_PER_PART = 2000

const { commands, journalFd } = workerData as PacketThreadData
const loop = new PacketLoop({
  onDefect: (error) => {
    if (engine === undefined) throw error
    engine.reportDefect(error)
  },
})
let engine: PacketEngine | undefined
/** Why there is no journal: told when there is somebody to tell. */
let noJournal: string | undefined
const journal = openJournal()

function report(message: ThreadReport): void {
  parentPort?.postMessage(message)
}

function log(message: string): void {
  report({ kind: 'log', message })
}

function take(command: ThreadCommand): void {
  switch (command.kind) {
    case 'start':
      engine = start(command)
      return
    case 'host-addresses':
      engine?.setHostAddresses(command.addresses)
      return
    case 'guest':
      orLost(command.guest.id, () => started().addGuest(command.guest, command.fd))
      return
    case 'guest-changed':
      orLost(command.guest.id, () => started().updateGuest(command.guest))
      return
    case 'guest-gone':
      engine?.removeGuest(command.id)
      return
    case 'forward':
      started().addForward(command.forward, command.fd)
      return
    case 'forward-gone':
      engine?.removeForward(command.forward)
      return
    case 'dns-answer':
      engine?.answerDns(command.guest, command.guestPort, command.isIpv6, command.bytes)
      return
    case 'dns-stream-closed':
      countStream(command.guest, -1)
      return
    case 'call':
      answer(command)
      return
    case 'confine':
      report({ kind: 'confined', missing: confineThread(command.folders) })
      return
    case 'stop':
      loop.stop()
      return
    default:
      command satisfies never
  }
}

function start({
  settings,
  hostAddresses,
  rawIcmp,
}: Extract<ThreadCommand, { kind: 'start' }>): PacketEngine {
  if (noJournal !== undefined) log(noJournal)
  return new PacketEngine({
    loop,
    settings,
    hostAddresses,
    rawIcmp,
    journal,
    services: {
      dns: (guest, guestPort, isIpv6, question) =>
        report({ kind: 'dns', guest, guestPort, isIpv6, bytes: question }),
      dnsStream: (guest, fd) => passStream(guest, fd, settings.limits.dnsTcpConnections),
      deviceLost: (guest, reason) => report({ kind: 'device-lost', guest, reason }),
      log,
    },
  })
}

/** Without it the engine serves all the same; only the next one does not know whom to tell. */
function openJournal(): FlowJournal | undefined {
  if (journalFd === undefined) return undefined
  try {
    return FlowJournal.open(journalFd)
  } catch (error) {
    noJournal = `No journal of flows is kept: ${error instanceof Error ? error.message : String(error)}`
    return undefined
  }
}

/** Streams that the control thread has, by guest. */
const streams = new Map<string, number>()

/** Twice what the forwarder serves: beyond that a guest floods, and what it floods with ends here. */
function passStream(guest: string, fd: number, limit: number): void {
  if ((streams.get(guest) ?? 0) >= 2 * limit) {
    closeDescriptor(fd)
    return
  }
  countStream(guest, 1)
  report({ kind: 'dns-stream', guest, fd })
}

function countStream(guest: string, change: number): void {
  const count = (streams.get(guest) ?? 0) + change
  if (count > 0) streams.set(guest, count)
  else streams.delete(guest)
}

/** Careful: the engine tells nothing of a guest that it could not take; the core host shall know. */
function orLost(guest: string, work: () => void): void {
  try {
    work()
  } catch (error) {
    if (!(error instanceof BulkheadError)) throw error
    report({ kind: 'device-lost', guest, reason: error.message })
  }
}

function answer(command: Extract<ThreadCommand, { kind: 'call' }>): void {
  const { call } = command
  const fail = (error: unknown) => {
    const { code = 'net.protocol', hint } = error instanceof BulkheadError ? error : {}
    const message = error instanceof Error ? error.message : String(error)
    report({ kind: 'error', call, error: { code, message, ...(hint === undefined ? {} : { hint }) } })
  }
  try {
    switch (command.method) {
      case 'settle':
        report({ kind: 'result', call, result: null })
        return
      case 'stats':
        report({ kind: 'result', call, result: started().stats() })
        return
      case 'flows': {
        const flows = started().flows(command.guest)
        for (let at = 0; at < flows.length; at += FLOWS_PER_PART)
          report({ kind: 'part', call, flows: flows.slice(at, at + FLOWS_PER_PART) })
        report({ kind: 'result', call, result: [] })
        return
      }
      case 'capture':
        capture(command)
        report({ kind: 'result', call, result: null })
        return
      case 'connect':
        connect(command, (accepted) => {
          if (accepted) report({ kind: 'result', call, result: null })
          else
            fail(
              new NetError(
                'net.unreachable',
                `Cannot connect to port ${command.port} of the guest: nobody took the connection`,
                { hint: 'Is a program listening there, on all addresses?' },
              ),
            )
        })
        return
      default:
        command satisfies never
    }
  } catch (error) {
    fail(error)
  }
}

function capture(command: Extract<ThreadCommand, { method: 'capture' }>): void {
  const { guest, fd, frameBytes, limitBytes } = command
  let isTaken = false
  try {
    started().startCapture(guest, (port) => {
      isTaken = true
      startCapture({ context: loop, port, fd, frameBytes, limitBytes })
    })
  } finally {
    if (!isTaken) closeDescriptor(fd)
  }
}

function connect(
  { guest, port, fd }: Extract<ThreadCommand, { method: 'connect' }>,
  done: (accepted: boolean) => void,
): void {
  try {
    started().connect(guest, port, fd, done)
  } catch (error) {
    closeDescriptor(fd)
    throw error
  }
}

function started(): PacketEngine {
  if (engine === undefined) throw new NetError('net.protocol', 'The packet thread has no settings yet')
  return engine
}

function takeAll(port: MessagePort): void {
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
    try {
      take(next.message as ThreadCommand)
    } catch (error) {
      // Of a port that cannot be watched, for example. Nothing works without the settings; all else works without the one.
      if (engine === undefined) throw error
      log(
        error instanceof BulkheadError ? error.message : String(error instanceof Error ? error.stack : error),
      )
    }
  }
}

loop.onWake = () => takeAll(commands)
report({ kind: 'ready', wakeFd: loop.wakeFd })
loop.run()
engine?.[Symbol.dispose]()
