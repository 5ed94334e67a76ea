// The thread that moves bytes between dom0 and its guests' rings. Started by ring-worker-client.ts.
import { parentPort, workerData } from 'node:worker_threads'
import { EventChannelDevice } from '../event-channel-device.ts'
import { GrantDevice } from '../grant-device.ts'
import { openXenDevice } from '../hypercalls.ts'
import { Privcmd } from '../privcmd.ts'
import { RingLoop } from './ring-loop.ts'
import { type RingReport, type RingWorkerData, toPlainError } from './ring-messages.ts'

const { commands, wakeFd, stop } = workerData as RingWorkerData
const stopWord = new Int32Array(stop)

function report(message: RingReport): void {
  parentPort?.postMessage(message, message.kind === 'data' ? [message.bytes.buffer] : [])
}

try {
  using open = new DisposableStack()
  const devices = {
    events: open.use(new EventChannelDevice()),
    grants: open.use(new GrantDevice()),
    privcmd: open.use(new Privcmd(openXenDevice('/dev/xen/privcmd'))),
  }
  const loop = new RingLoop({
    devices,
    commands,
    wakeFd,
    isStopping: () => Atomics.load(stopWord, 0) !== 0,
    report,
    now: () => performance.now(),
  })
  report({ kind: 'ready' })
  loop.run()
} catch (error) {
  report({ kind: 'unavailable', error: toPlainError(error) })
}
