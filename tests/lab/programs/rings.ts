// Runs in dom0: plays one scenario with the rings of ring-guest.c and prints what came of it as JSON.
// `argv`: the scenario, then its settings as JSON.
import { readdirSync, readFileSync } from 'node:fs'
import { domainId } from '../../../core/xen/domain-id.ts'
import { isXenError } from '../../../core/xen/errors.ts'
import { openHypervisor } from '../../../core/xen/hypervisor.ts'
import { startRingWorker } from '../../../core/xen/ring/ring-worker-client.ts'
import { openXenstore } from '../../../core/xen/xenstore/open.ts'
import {
  announcement,
  type BootSettings,
  bootRingGuest,
  EVIL,
  RingPeer,
  type RunningGuest,
  removeRingGuest,
  TYPE,
  words,
} from './ring-guest.ts'

export interface RingSettings extends BootSettings, RunningGuest {
  readonly bytes: number
  readonly frameBytes: number
  readonly count: number
  readonly evil: keyof typeof EVIL
}

/** Checks that 64-bit words follow each other as ring-guest.c makes them. */
class PatternCheck {
  #previous: bigint | undefined
  bytes = 0
  gaps = 0

  constructor(first?: bigint) {
    this.#previous = first
  }

  add(payload: Uint8Array): void {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
    for (let offset = 0; offset + 8 <= payload.length; offset += 8) {
      const word = view.getBigUint64(offset, true)
      const expected =
        this.#previous === undefined
          ? word
          : BigInt.asUintN(64, this.#previous * 6364136223846793005n + 1442695040888963407n)
      if (word !== expected) this.gaps++
      this.#previous = word
    }
    this.bytes += payload.length
  }
}

await using rings = await startRingWorker()
using xenstore = await openXenstore()
const scenario = process.argv[2] ?? ''
const settings = JSON.parse(process.argv[3] ?? '{}') as RingSettings
const { domid, count, bytes, frameBytes } = settings

const attach = async () => RingPeer.attach(rings, domid, await announcement(xenstore, domid))

const scenarios: Record<string, () => Promise<unknown>> = {
  boot: () => bootRingGuest(settings, rings, xenstore),
  remove: async () => {
    await removeRingGuest(settings, xenstore)
    return { nodes: await xenstore.list(`/local/domain/${domid}`) }
  },
  echo,
  'from-guest': fromGuest,
  'to-guest': toGuest,
  'die-while-reading': dieWhileReading,
  'go-on-reading': goOnReading,
  evil,
  storm,
  'bad-announcement': badAnnouncement,
  'power-off': powerOff,
  exit: exitWhileAttached,
}

const result = await scenarios[scenario]?.()
process.stdout.write(`${JSON.stringify(result)}\n`)

/** Frames go there and back unchanged; the median time of a round trip. */
async function echo() {
  const peer = await attach()
  const timesMs: number[] = []
  let wrong = 0
  for (let round = 0; round < count; round++) {
    const payload = new Uint8Array((round * 37) % 300).fill(round)
    const before = performance.now()
    await peer.send(TYPE.echo, payload)
    const answer = await peer.next()
    timesMs.push(performance.now() - before)
    if (!Buffer.from(answer.payload).equals(payload)) wrong++
  }
  await peer.ring.detach()
  return { wrong, medianMs: timesMs.sort((a, b) => a - b)[count >> 1] }
}

function source(): Uint8Array {
  const payload = new Uint8Array(12)
  const view = new DataView(payload.buffer)
  view.setBigUint64(0, BigInt(bytes), true)
  view.setUint32(8, frameBytes, true)
  return payload
}

async function fromGuest() {
  const peer = await attach()
  const check = new PatternCheck(1n)
  const all = Promise.withResolvers<void>()
  peer.onData = (payload) => {
    check.add(payload)
    if (check.bytes >= bytes) all.resolve()
  }
  const before = performance.now()
  await peer.send(TYPE.source, source())
  await all.promise
  const seconds = (performance.now() - before) / 1000
  await peer.ring.detach()
  return { bytes: check.bytes, gaps: check.gaps, megabytesPerSecond: bytes / seconds / 1e6 }
}

async function toGuest() {
  const peer = await attach()
  const payload = new Uint8Array(frameBytes)
  const view = new DataView(payload.buffer)
  let sum = 0n
  let waits = 0
  // The guest reads nothing until the ring is full, however fast it is.
  using hypervisor = openHypervisor()
  hypervisor.pause(domainId(domid))
  peer.onFull = () => {
    peer.onFull = () => {}
    hypervisor.unpause(domainId(domid))
  }
  const before = performance.now()
  for (let sent = 0; sent < bytes; sent += frameBytes) {
    for (let offset = 0; offset < frameBytes; offset += 8) {
      const word = BigInt(sent + offset) * 0x9e3779b97f4a7c15n
      view.setBigUint64(offset, BigInt.asUintN(64, word), true)
      sum = BigInt.asUintN(64, (sum ^ BigInt.asUintN(64, word)) * 1099511628211n)
    }
    waits += await peer.send(TYPE.data, payload.slice())
  }
  await peer.send(TYPE.summary, new Uint8Array(0))
  const answer = await peer.next()
  const seconds = (performance.now() - before) / 1000
  const summary = new DataView(answer.payload.buffer, answer.payload.byteOffset, 16)
  await peer.ring.detach()
  return {
    bytes: Number(summary.getBigUint64(0, true)),
    isSumRight: summary.getBigUint64(8, true) === sum,
    waits,
    megabytesPerSecond: bytes / seconds / 1e6,
  }
}

async function dieWhileReading() {
  const peer = await attach()
  const check = new PatternCheck(1n)
  peer.onData = (payload) => {
    check.add(payload)
    if (check.bytes > bytes / 4) process.kill(process.pid, 'SIGKILL')
  }
  await peer.send(TYPE.source, source())
  return await new Promise(() => {})
}

/** What an earlier process left unread comes without a gap, up to the end of what the guest had to send. */
async function goOnReading() {
  const check = new PatternCheck()
  const peer = await attach()
  peer.onData = (payload) => check.add(payload)
  await peer.send(TYPE.echo, Buffer.from('end'))
  const end = await peer.next()
  await peer.ring.detach()
  return { bytes: check.bytes, gaps: check.gaps, end: Buffer.from(end.payload).toString() }
}

/** The guest breaks a rule; then, let go of and announced again, it works like before. */
async function evil() {
  const peer = await attach()
  await peer.send(TYPE.evil, words(EVIL[settings.evil], 0))
  const error = await peer.closed
  const isSent = peer.ring.send({ type: TYPE.echo, stream: 0, container: 0, payload: new Uint8Array(0) })
  await peer.ring.detach()
  const again = await attach()
  await again.send(TYPE.echo, Buffer.from('again'))
  const answer = Buffer.from((await again.next()).payload).toString()
  await again.ring.detach()
  return { code: isXenError(error) ? error.code : String(error), message: error.message, isSent, answer }
}

/** A storm of events wakes the worker a bounded number of times. */
async function storm() {
  const peer = await attach()
  const [wakesBefore, before] = [voluntarySwitches(), performance.now()]
  await peer.send(TYPE.evil, words(EVIL.storm, count))
  const answer = Buffer.from((await peer.next()).payload).toString()
  const durationMs = performance.now() - before
  const wakes = voluntarySwitches() - wakesBefore
  await peer.ring.detach()
  return { answer, wakes, durationMs }
}

/** Voluntary context switches of all of this process's threads: how often one slept and was woken. */
function voluntarySwitches(): number {
  let sum = 0
  for (const thread of readdirSync('/proc/self/task')) {
    const status = readFileSync(`/proc/self/task/${thread}/status`, 'utf8')
    sum += Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1])
  }
  return sum
}

async function badAnnouncement() {
  const { ref, port } = await announcement(xenstore, domid)
  const attempt = async (change: { ref?: number; port?: number }) => {
    try {
      await RingPeer.attach(rings, domid, { ref, port, ...change })
      return 'attached'
    } catch (error) {
      return isXenError(error) ? error.code : String(error)
    }
  }
  const codes = [
    await attempt({ ref: 0x7fff_fff0 }),
    await attempt({ ref: 1 }),
    await attempt({ port: 999_999 }),
  ]
  const peer = await RingPeer.attach(rings, domid, { ref, port })
  codes.push(await attempt({}))
  await peer.send(TYPE.echo, Buffer.from('still here'))
  const answer = Buffer.from((await peer.next()).payload).toString()
  await peer.ring.detach()
  return { codes, answer }
}

async function powerOff() {
  using hypervisor = openHypervisor()
  const peer = await attach()
  await using released = await xenstore.watch('@releaseDomain')
  await peer.send(TYPE.evil, words(EVIL.powerOff, 0))
  for await (const _changed of released) {
    if (hypervisor.domain(domid)?.shutdownReason !== undefined) break
  }
  await peer.ring.drain()
  const last = Buffer.from((await peer.next()).payload).toString()
  const reason = hypervisor.domain(domid)?.shutdownReason
  await hypervisor.destroy(domainId(domid))
  const whileMapped = hypervisor.domain(domid)?.isDying
  await peer.ring.detach()
  return { last, reason, whileMapped }
}

/** process.exit() must not hang while the worker waits. */
async function exitWhileAttached(): Promise<never> {
  await attach()
  process.exit(3)
}
