// A process that confines itself as the network engine does, then tries what it must not be able to do, and says as JSON what
// came of each. Arguments: a folder that it may read, and a file outside of it.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { Worker } from 'node:worker_threads'
import { confineFiles } from './landlock.ts'
import { confineSystemCalls, forbidIoUring, forbidNewPrivileges } from './seccomp.ts'
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  closeDescriptor,
  openSocket,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
} from './socket.ts'
import { makeSocketPair } from './socket-pair.ts'
import { errnoName } from './system-error.ts'

const [folder = '', outside = '', stage] = process.argv.slice(2)
const AF_NETLINK = 16
const AF_PACKET = 17

forbidNewPrivileges()
if (stage !== 'again') {
  forbidIoUring()
  process.execve?.(process.execPath, [process.execPath, ...process.argv.slice(1), 'again'], process.env)
}
const landlock = outcome(() => confineFiles([folder, '/proc/self']))
confineSystemCalls()

process.stdout.write(
  JSON.stringify({
    landlock,
    status: /^Seccomp:\t(\d)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1],
    readInside: outcome(() => readFileSync(`${folder}/inside`)),
    readOutside: outcome(() => readFileSync(outside)),
    write: outcome(() => writeFileSync(`${folder}/new`, 'x')),
    writeInPool: await writeFile(`${folder}/new`, 'x').then(
      () => 'done',
      (error: unknown) => outcomeOf(error),
    ),
    makeFolder: outcome(() => mkdirSync(`${folder}/made`)),
    program: spawnSync('/bin/true').error === undefined ? 'done' : 'refused',
    packetSocket: socketOutcome(AF_PACKET, SOCK_RAW),
    unixSocket: socketOutcome(AF_UNIX, SOCK_STREAM),
    streamSocket: socketOutcome(AF_INET, SOCK_STREAM),
    datagramSocket: socketOutcome(AF_INET6, SOCK_DGRAM),
    netlinkSocket: socketOutcome(AF_NETLINK, SOCK_RAW),
    socketPair: outcome(makeSocketPair),
    thread: await threadOutcome(),
  }),
)

function outcome(work: () => unknown): string {
  try {
    work()
    return 'done'
  } catch (error) {
    return outcomeOf(error)
  }
}

function outcomeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if ('errorName' in error) return String(error.errorName)
  return 'code' in error ? String(error.code) : error.message
}

function socketOutcome(family: number, type: number): string {
  const fd = openSocket(family, type)
  if (fd < 0) return errnoName(-fd)
  closeDescriptor(fd)
  return 'done'
}

/** Threads are needed: the engine's packets pass in one, and Node has others. */
function threadOutcome(): Promise<string> {
  return new Promise((resolve) => {
    const worker = new Worker('', { eval: true })
    worker.once('exit', (code) => resolve(code === 0 ? 'done' : `status ${code}`))
    worker.once('error', (error) => resolve(String(error)))
  })
}
