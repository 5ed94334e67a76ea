// One machine for guest-init: namespaces of its own, an initrd in memory, a block device with the test image, and
// this process as its host. The binary runs as PID 1 with everything but Xen real.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { tools } from './build.ts'
import { type Frame, type FrameName, frameTypes, long, words, writeFrame } from './frames.ts'
import { HostRing } from './host-ring.ts'

export interface ProcessOptions {
  argv?: string[]
  env?: string[]
  cwd?: string
  user?: string
  groups?: string[]
  terminal?: boolean
  stdin?: boolean
  rows?: number
  columns?: number
}

export interface MachineOptions {
  readonly device: string
  readonly process?: ProcessOptions
  /** Replaces members of the bundle; a string replaces the whole text. */
  readonly bundle?: Record<string, unknown> | string
  readonly binary?: 'plain' | 'sanitized'
  readonly environment?: Record<string, string>
  /** Lines for a shell in the machine's namespaces, before guest-init begins: they make its network interfaces. */
  readonly prepare?: string
  /** Files of /bulkhead/modules. */
  readonly modules?: Record<string, string>
  /** false: this host takes nothing until `reading` is set or `drain()` called. */
  readonly attached?: boolean
  /** false: outputs get no credit beyond the first window. */
  readonly credits?: boolean
}

const example: Record<string, unknown> = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../docs/contracts/bundle.example.json'), 'utf8'),
)

/** Without a network, unless a test gives the machine an interface. */
const defaults = { ...example, network: { kind: 'none' } }

const defaultProcess = {
  argv: ['true'],
  env: [],
  cwd: '/',
  user: '',
  groups: [],
  terminal: false,
  stdin: false,
}

function bundleText(options: MachineOptions): string {
  if (typeof options.bundle === 'string') return options.bundle
  const process = { ...defaultProcess, rows: 24, columns: 80, ...options.process }
  return JSON.stringify({ ...defaults, ...options.bundle, process })
}

/** The folder of the version 2 control groups, where this machine has one that can be written. */
function cgroupFolder(): string | undefined {
  for (const line of readFileSync('/proc/mounts', 'utf8').split('\n')) {
    const [, target, type, flags] = line.split(' ')
    if (type === 'cgroup2' && target !== undefined && flags?.split(',').includes('rw')) return target
  }
  return undefined
}

function makeCgroup(): string | undefined {
  const parent = cgroupFolder()
  if (parent === undefined) return undefined
  return mkdtempSync(join(parent, 'guest-init-'))
}

function libraries(binary: string): string[] {
  const listing = execFileSync('sh', ['-c', `ldd ${binary} 2>/dev/null || true`], { encoding: 'utf8' })
  return [...listing.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] ?? '')
}

// $1 the initrd's folder, $2 the binary, then libraries.
const script = `set -e
root=$1 binary=$2; shift 2
mount --make-rprivate /
mount -t tmpfs -o mode=755 initrd $root
. $root.prepare
mkdir -p $root/bulkhead/modules $root/old
cp $binary $root/init
cp /bin/busybox $root/busybox
cp $root.json $root/bulkhead/bundle.json
cp $root.modules/* $root/bulkhead/modules 2>/dev/null || rmdir $root/bulkhead/modules
for library; do mkdir -p $root\${library%/*}; cp $library $root$library; done
cd $root
pivot_root . old
exec /busybox sh -c '/busybox umount -l /old; exec /init'`

export class Machine implements AsyncDisposable {
  readonly frames: Frame[] = []
  /** What each output stream carried. */
  readonly output = new Map<number, Buffer[]>()
  readonly ring: HostRing
  /** guest-init's own words. */
  log = ''
  /** What came over the machine's console (without a channel: the program's output). */
  console = ''
  /** The announcement and "power-off". */
  reports = ''
  /** How much of stdin was sent. */
  fed = 0
  /** How far the guest lets stdin go. */
  inputLimit = 65536
  /** The host takes what comes. */
  reading = true
  readonly #child: ChildProcess
  readonly #folder: string
  readonly #cgroup: string | undefined
  readonly #credits: boolean
  readonly #received = new Map<number, number>()
  #watchers: (() => void)[] = []
  #closed = false
  #attached = false

  constructor(options: MachineOptions) {
    this.#credits = options.credits ?? true
    this.reading = options.attached ?? true
    this.#folder = mkdtempSync(join(tmpdir(), 'guest-init-'))
    this.#cgroup = makeCgroup()
    this.ring = new HostRing(() => this.#events.write('e'))
    this.#child = this.#start(options)
    this.#events.on('data', () => this.#changed())
    this.#events.on('error', () => {})
    this.#listen(2, (text) => (this.log += text))
    this.#listen(1, (text) => (this.console += text))
    this.#listen(5, (text) => (this.reports += text))
    this.#child.on('close', () => {
      this.#closed = true
      this.#changed()
    })
  }

  #start(options: MachineOptions): ChildProcess {
    const root = join(this.#folder, 'initrd')
    mkdirSync(root)
    writeFileSync(`${root}.json`, bundleText(options), { mode: 0o600 })
    writeFileSync(`${root}.prepare`, options.prepare ?? '')
    mkdirSync(`${root}.modules`)
    for (const [name, text] of Object.entries(options.modules ?? {}))
      writeFileSync(join(`${root}.modules`, name), text)
    const binary = tools[options.binary ?? 'plain']
    const enter = this.#cgroup === undefined ? '' : `echo $$ > ${this.#cgroup}/cgroup.procs; `
    const namespaces = '--mount --pid --uts --net --ipc --cgroup --fork --kill-child'
    const values = [root, binary, ...libraries(binary)]
    return spawn('sh', ['-c', `${enter}exec unshare ${namespaces} sh -c "$0" sh "$@"`, script, ...values], {
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', this.ring.file, 'pipe'],
      env: {
        PATH: process.env.PATH,
        BULKHEAD_TEST_DEVICE: options.device,
        ASAN_OPTIONS: 'detect_leaks=0',
        ...options.environment,
      },
    })
  }

  get #events(): Socket {
    return this.#child.stdio[3] as Socket
  }

  #listen(file: number, add: (text: string) => void): void {
    const stream = this.#child.stdio[file] as Readable
    stream.setEncoding('utf8').on('data', (text: string) => {
      add(text)
      this.#changed()
    })
  }

  #changed(): void {
    if (this.reading && this.reports !== '') this.drain()
    for (const watcher of this.#watchers) watcher()
  }

  /** Takes all frames that are there, after attaching where that has not happened. */
  drain(): void {
    if (!this.#attached) this.attach()
    for (let frame = this.ring.take(); frame !== undefined; frame = this.ring.take()) {
      this.frames.push(frame)
      if (frame.name === 'data') this.#takeData(frame)
      if (frame.name === 'credit') this.inputLimit = Number(frame.payload.readBigUInt64LE())
    }
  }

  /** Begins (again) as a newly started core host does. */
  attach(): void {
    this.#attached = true
    this.ring.attach()
  }

  #takeData(frame: Frame): void {
    const offset = Number(frame.payload.readBigUInt64LE())
    const bytes = frame.payload.subarray(8)
    const received = this.#received.get(frame.stream) ?? 0
    if (offset !== received)
      throw new Error(`Stream ${frame.stream} went on at ${offset} instead of ${received}`)
    this.#received.set(frame.stream, received + bytes.length)
    const pieces = this.output.get(frame.stream) ?? []
    pieces.push(bytes)
    this.output.set(frame.stream, pieces)
    if (this.#credits) this.send('credit', frame.stream, long(received + bytes.length + 65536))
  }

  /** Everything a stream has carried so far. */
  bytes(stream: number): Buffer {
    return Buffer.concat(this.output.get(stream) ?? [])
  }

  text(stream: number): string {
    return this.bytes(stream).toString('utf8')
  }

  find(name: FrameName): Frame | undefined {
    return this.frames.find((frame) => frame.name === name)
  }

  /** Resolves with the first frame of that name. */
  async frame(name: FrameName): Promise<Frame> {
    await this.until(() => this.find(name) !== undefined, `a frame ${name}`)
    return this.find(name) as Frame
  }

  /** Resolves when the condition holds; rejects when the machine ends before. */
  until(condition: () => boolean, what = 'a condition'): Promise<void> {
    return new Promise((resolve, reject) => {
      const watcher = () => {
        const holds = condition()
        if (!holds && !this.#closed) return
        this.#watchers = this.#watchers.filter((other) => other !== watcher)
        if (holds) resolve()
        else reject(new Error(`The machine ended before ${what}; its log:\n${this.log}`))
      }
      this.#watchers.push(watcher)
      watcher()
    })
  }

  send(name: FrameName, stream: number, payload: Uint8Array): boolean {
    return this.ring.put(writeFrame(frameTypes[name], stream, payload))
  }

  /** Sends bytes to the program's stdin from `fed` on, as fast as credit and ring allow, and then its end. */
  async feed(bytes: Buffer, options: { readonly end: boolean } = { end: true }): Promise<void> {
    const start = this.fed
    const sendMore = () => {
      for (let done = this.fed - start; done < bytes.length; done = this.fed - start) {
        const piece = bytes.subarray(done, Math.min(done + 16376, this.inputLimit - start))
        if (piece.length === 0 || !this.send('data', 1, Buffer.concat([long(this.fed), piece]))) return false
        this.fed += piece.length
      }
      return true
    }
    await this.until(sendMore, 'credit for stdin')
    if (options.end) await this.until(() => this.send('end', 1, long(this.fed)), 'room for the end')
  }

  signal(number: number, group = false): void {
    this.send('signal', 0, words(number, group ? 1 : 0))
  }

  /** Says `shutdown` and waits for the end of the machine. */
  async powerOff(): Promise<void> {
    this.send('shutdown', 0, words(0, 0))
    await this.closed()
  }

  /** Does what the guest's kernel does when the hypervisor asks for a power-off. */
  requestPowerOff(): void {
    execFileSync('nsenter', ['-t', String(this.pid), '-p', '-m', '-r', '/sbin/poweroff'])
  }

  closed(): Promise<void> {
    return this.until(() => this.#closed)
  }

  /** Waits for the program's end and lets the machine go; "status N" or "signal N". */
  async exit(): Promise<string> {
    const { payload } = await this.frame('exited')
    await this.powerOff()
    return `${payload.readUInt32LE(0) === 0 ? 'status' : 'signal'} ${payload.readInt32LE(4)}`
  }

  /** PID 1 of the machine as this machine sees it. */
  get pid(): number {
    const unshare = this.#child.pid ?? 0
    return Number(readFileSync(`/proc/${unshare}/task/${unshare}/children`, 'utf8').trim().split(' ')[0])
  }

  /** Processor time that PID 1 has used so far. */
  get processorMs(): number {
    const fields = readFileSync(`/proc/${this.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) * 10
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closed) this.#child.kill('SIGKILL')
    await this.closed().catch(() => {})
    this.ring[Symbol.dispose]()
    rmSync(this.#folder, { recursive: true })
    if (this.#cgroup !== undefined) await removeCgroup(this.#cgroup)
  }
}

/** Killed processes leave their group a moment after their files are closed. */
async function removeCgroup(folder: string): Promise<void> {
  while (readFileSync(join(folder, 'cgroup.events'), 'utf8').includes('populated 1')) await setImmediate()
  for (const entry of readdirSync(folder, { withFileTypes: true }))
    if (entry.isDirectory()) rmdirSync(join(folder, entry.name))
  rmdirSync(folder)
}
