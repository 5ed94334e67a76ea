// The life of the network engine: it listens on the unix socket that it is given, starts its packet thread, leaves root, gives
// up what it does not need, and ends when it is told to or its packet thread does, not when the core host goes.
import { rmSync } from 'node:fs'
import { parseArgs } from 'node:util'
import packageJson from '../../../package.json' with { type: 'json' }
import { raiseDescriptorLimit } from '../../sys/process-limits.ts'
import { watchReadable } from '../../sys/readable-watch.ts'
import { isSystemError } from '../../sys/system-error.ts'
import { acceptConnection, connectToPath, listenAtPath } from '../../sys/unix-socket.ts'
import { NetError } from '../errors.ts'
import { journalPath, openJournalFile } from '../flow/flow-journal-file.ts'
import { defaultLimits } from '../settings.ts'
import { confineProcess, confineThread, leaveRoot, readableFolders } from './confinement.ts'
import { EngineControl } from './engine-control.ts'
import { EngineServer } from './engine-server.ts'
import { LONGEST_TEXT } from './messages.ts'
import { PacketWorker } from './packet-worker.ts'
import { LISTENING } from './start-engine.ts'

/** How long the packet thread may take to let go of everything. */
const farewellMs = 500

const startedAt = new Date().toISOString()
/** To the core host's log; where none is there to standard error, which may be nobody's by now. */
function log(message: string): void {
  if (server?.isConnected === true) server.tell({ type: 'log', message: message.slice(0, LONGEST_TEXT) })
  else process.stderr.write(`${message}\n`)
}
process.stderr.on('error', () => {})
process.stdout.on('error', () => {})

let server: EngineServer | undefined

async function run(): Promise<void> {
  const { socketPath, user, descriptors } = readOptions()
  const allowed = raiseDescriptorLimit(descriptors)
  if (allowed < descriptors) log(`Only ${allowed} descriptors of ${descriptors} may be open`)
  removeStaleSocket(socketPath)
  using listener = listenAtPath(socketPath)
  // While it is root still, for its user need not be able to read where we are installed.
  const worker = await PacketWorker.start(openJournal(socketPath))
  if (user !== undefined) leaveRoot(user.uid, user.gid)
  for (const missing of [
    confineThread(readableFolders),
    await worker.confine(readableFolders),
    confineProcess(),
  ])
    if (missing !== undefined) log(`The network engine goes on, but ${missing}`)

  const ending = Promise.withResolvers<string>()
  using control = new EngineControl({ worker, log, end: ending.resolve })
  server = new EngineServer(control, { version: packageJson.version, startedAt })
  const ours = server
  control.onDeviceLost = (guest, reason) => ours.deviceLost(guest, reason)
  using _watch = watchReadable(listener.fd, () => {
    try {
      for (let next = acceptConnection(listener); next !== undefined; next = acceptConnection(listener))
        ours.accept(next)
    } catch (error) {
      log(error instanceof Error ? error.message : String(error))
    }
  })
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ending.resolve(signal))
  // A terminal that closes, or a core host's session, is no reason to end.
  process.on('SIGHUP', () => {})
  process.stdout.write(`${LISTENING}\n`)

  const reason = await Promise.race([
    ending.promise,
    worker.ended.then((how) => `the packet thread is gone: ${how}`),
  ])
  log(`The network engine ends: ${reason}`)
  worker.stop()
  await Promise.race([worker.ended, new Promise((resolve) => setTimeout(resolve, farewellMs))])
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      socket: { type: 'string' },
      user: { type: 'string' },
      descriptors: { type: 'string', default: String(defaultLimits.descriptors) },
    },
  })
  if (values.socket === undefined) throw new Error('The network engine needs --socket PATH')
  const [uid, gid] = (values.user ?? '').split(':').map(Number)
  if (values.user !== undefined && (!uid || !gid))
    throw new Error(`Cannot run the network engine as "${values.user}": that is root or nobody`)
  return {
    socketPath: values.socket,
    user: uid && gid ? { uid, gid } : undefined,
    descriptors: Number(values.descriptors),
  }
}

/** Undefined where there can be none: the engine goes on without. */
function openJournal(socketPath: string): number | undefined {
  try {
    return openJournalFile(journalPath(socketPath))
  } catch (error) {
    log(`No journal of flows is kept: ${error instanceof Error ? error.message : String(error)}`)
    return undefined
  }
}

/** Of an engine that was killed. Throws NetError where one listens there. */
function removeStaleSocket(path: string): void {
  try {
    connectToPath(path)[Symbol.dispose]()
  } catch (error) {
    if (!isSystemError(error, 'ENOENT', 'ECONNREFUSED')) throw error
    rmSync(path, { force: true })
    return
  }
  throw new NetError('net.device', `Cannot listen at ${path}: another network engine does`)
}

try {
  await run()
} catch (error) {
  log(
    error instanceof Error
      ? error instanceof NetError
        ? error.message
        : (error.stack ?? error.message)
      : String(error),
  )
  process.exitCode = 1
}
// Careful: process.exit() waits for a packet thread that hangs, for ever.
setTimeout(() => process.kill(process.pid, 'SIGKILL'), farewellMs)
process.exit()
