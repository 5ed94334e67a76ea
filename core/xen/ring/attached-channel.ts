// A guest's control channel attached in the ring worker: whole frames in both directions, notifications only
// when the other side asked. docs/contracts/channel.md.
import { domainId } from '../domain-id.ts'
import { PAGE_SIZE } from '../privcmd.ts'
import type { AttachedRing, RingDevices, SendReport, ServiceResult } from './attached-ring.ts'
import { CONTROL_WORD, HOST_LIVE_OFFSET, readControlPage } from './control-page.ts'
import { checkFrames } from './frame.ts'
import { FrameReceiver, FrameSender } from './frame-ring.ts'
import { WorkerFlow } from './ring-flow.ts'
import type { AttachChannel } from './ring-messages.ts'
import { ringViolation } from './ring-violation.ts'

const MAX_UNACKNOWLEDGED_BYTES = 1024 * 1024
/** Looks at the ring before the other rings have their turn. */
const MAX_TAKES_PER_SERVICE = 8

/**
 * Maps the control page, checks a private copy of it, maps the data pages, binds the port. Throws XenError:
 * `attach-failed` for grants or a port that cannot be had, `guest-protocol` for a page we do not accept.
 */
export function attachChannel(
  devices: RingDevices,
  command: AttachChannel,
  report: SendReport,
): AttachedRing {
  const { events, grants } = devices
  const domid = domainId(command.domid)
  using undo = new DisposableStack()
  const control = undo.use(grants.map(domid, [command.ref]))
  const pages = readControlPage(control.bytes.slice())
  const data = undo.use(grants.map(domid, pages.refs))
  const localPort = undo.adopt(events.bind(domid, command.port), (port) => events.unbind(port))

  const words = new Int32Array(control.buffer)
  const toHostBytes = pages.toHostPages * PAGE_SIZE
  const toGuestBytes = pages.toGuestPages * PAGE_SIZE
  const receiver = new FrameReceiver({
    words,
    base: CONTROL_WORD.toHost,
    data: data.bytes.subarray(0, toHostBytes),
  })
  const sender = new FrameSender({
    words,
    base: CONTROL_WORD.toGuest,
    data: data.bytes.subarray(toHostBytes),
  })
  const usedAtStart = sender.usedBytes
  control.notifyOnUnmap(HOST_LIVE_OFFSET, localPort)
  Atomics.store(words, CONTROL_WORD.hostLive, 1)
  events.notify(localPort)
  undo.move()

  const { id } = command
  const flow = new WorkerFlow(command.flow, MAX_UNACKNOWLEDGED_BYTES)
  // Counted from the attachment, like the main thread counts: what was in the ring then was sent already.
  let sentBytes = usedAtStart
  let tookBytes = 0

  const takeFrames = (): boolean => {
    const bytes = receiver.take()
    if (bytes === undefined) return false
    checkFrames(bytes)
    if (receiver.release(bytes.length)) events.notify(localPort)
    flow.countReported(bytes.length)
    report({ kind: 'data', id, bytes })
    return true
  }

  /** True when there is nothing left and the guest will tell us of more. */
  const mayRest = (): boolean => !receiver.wantData()

  const noteGuestTook = (): boolean => {
    const total = (sentBytes - sender.usedBytes) >>> 0
    const hasMoved = total !== tookBytes
    tookBytes = total
    flow.setGuestTook(total)
    return hasMoved
  }

  const grantRoom = (): void => {
    const wanted = flow.roomWanted
    if (wanted === 0) return
    if (toGuestBytes - sender.usedBytes < wanted) {
      sender.wantSpace()
      noteGuestTook()
      if (toGuestBytes - sender.usedBytes < wanted) return
    }
    if (flow.grantRoom()) report({ kind: 'writable', id })
  }

  const service = (): ServiceResult => {
    let hasMoved = false
    let hasMore = true
    for (let takes = 0; takes < MAX_TAKES_PER_SERVICE && hasMore; takes++) {
      if (!flow.canReport()) hasMore = false
      else if (takeFrames()) hasMoved = true
      else if (mayRest()) hasMore = false
    }
    if (noteGuestTook()) hasMoved = true
    grantRoom()
    return { hasMoved, hasMore }
  }

  return {
    localPort,
    toGuestBytes,
    usedBytes: usedAtStart,
    service,
    write(bytes) {
      const { done, mustNotify } = sender.put(bytes)
      // The main thread sends only what fits; less room than before is the guest's doing.
      if (!done) throw ringViolation('control channel', 'took back room that it had given')
      sentBytes = (sentBytes + bytes.length) >>> 0
      if (mustNotify) events.notify(localPort)
    },
    drain() {
      takeFrames()
    },
    release() {
      Atomics.store(words, CONTROL_WORD.hostLive, 0)
      data[Symbol.dispose]()
      // The kernel rings the guest at this, so the port goes last.
      control[Symbol.dispose]()
      events.unbind(localPort)
    },
  }
}
