// A guest's console (hvc0) attached in the ring worker: its output is reported, input waits in a bounded queue
// until the guest takes it.
import { domainId } from '../domain-id.ts'
import type { AttachedRing, RingDevices, SendReport, ServiceResult } from './attached-ring.ts'
import { ConsolePage } from './console-ring.ts'
import { WorkerFlow } from './ring-flow.ts'
import type { AttachConsole } from './ring-messages.ts'

// xen/include/public/grant_table.h, GNTTAB_RESERVED_CONSOLE
const CONSOLE_GRANT = 0
const MAX_UNACKNOWLEDGED_BYTES = 256 * 1024
/** One look takes at most this much: a guest that writes without end does not keep the others waiting. */
const MAX_BYTES_PER_SERVICE = 64 * 1024

/**
 * Maps the page and binds the port. By its frame, which we know from building the domain, the guest cannot
 * show us another page; the grant is for those whose frame is not known. Throws XenError `attach-failed`.
 */
export function attachConsole(
  devices: RingDevices,
  command: AttachConsole,
  report: SendReport,
): AttachedRing {
  const domid = domainId(command.domid)
  const mapping =
    command.frame === undefined
      ? devices.grants.map(domid, [CONSOLE_GRANT])
      : devices.privcmd.mapForeign(domid, BigUint64Array.of(BigInt(command.frame)))
  let localPort: number
  try {
    localPort = devices.events.bind(domid, command.port)
  } catch (error) {
    mapping[Symbol.dispose]()
    throw error
  }

  const { id } = command
  const page = new ConsolePage(mapping.buffer)
  const flow = new WorkerFlow(command.flow, MAX_UNACKNOWLEDGED_BYTES)
  const input: Uint8Array[] = []
  let putBytes = 0

  const takeOutput = (maxBytes: number, mayReport: () => boolean): number => {
    const chunks: Uint8Array[] = []
    let length = 0
    while (length < maxBytes && mayReport()) {
      const chunk = page.take()
      if (chunk === undefined) break
      chunks.push(chunk)
      length += chunk.length
    }
    if (length > 0) {
      flow.countReported(length)
      report({ kind: 'data', id, bytes: join(chunks, length) })
    }
    return length
  }

  const putInput = (): number => {
    let total = 0
    for (let next = input[0]; next !== undefined; next = input[0]) {
      const length = page.put(next)
      total += length
      if (length < next.length) {
        input[0] = next.subarray(length)
        break
      }
      input.shift()
    }
    return total
  }

  const service = (): ServiceResult => {
    const taken = takeOutput(MAX_BYTES_PER_SERVICE, () => flow.canReport())
    const put = putInput()
    const hasMoved = taken > 0 || put > 0
    if (hasMoved) devices.events.notify(localPort)
    putBytes = (putBytes + put) >>> 0
    flow.setGuestTook(putBytes)
    return { hasMoved, hasMore: taken >= MAX_BYTES_PER_SERVICE }
  }

  return {
    localPort,
    toGuestBytes: 0,
    usedBytes: 0,
    service,
    write(bytes) {
      input.push(bytes)
    },
    drain() {
      if (takeOutput(MAX_BYTES_PER_SERVICE, () => true) > 0) devices.events.notify(localPort)
    },
    release() {
      mapping[Symbol.dispose]()
      devices.events.unbind(localPort)
    },
  }
}

function join(chunks: readonly Uint8Array[], length: number): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(length)
  let offset = 0
  for (const chunk of chunks) {
    joined.set(chunk, offset)
    offset += chunk.length
  }
  return joined
}
