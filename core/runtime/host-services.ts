// What the runtime is given to work with: the hypervisor, xenstore, rings, images, places on disk, a clock.
import type { Hypervisor } from '../xen/hypervisor.ts'
import type { RingWorker } from '../xen/ring/ring-worker-client.ts'
import type { Xenstore } from '../xen/xenstore/client.ts'
import type { RingBudget } from './broker/byte-ring.ts'
import type { EventHub } from './event-hub.ts'
import type { KernelPlaces } from './guest-kernel.ts'
import type { Images } from './images.ts'
import type { LoopPool } from './loop-pool.ts'
import type { GuestNetwork } from './network/guest-network.ts'

export interface HostServices {
  readonly hypervisor: Hypervisor
  readonly xenstore: Xenstore
  readonly rings: RingWorker
  readonly images: Images
  readonly loops: LoopPool
  readonly network: GuestNetwork
  readonly events: EventHub
  readonly budget: RingBudget
  /** `/var/lib/bulkhead` */
  readonly stateFolder: string
  /** `/var/log/bulkhead` */
  readonly logFolder: string
  readonly guestInitPath: string
  readonly kernels: KernelPlaces
  readonly now: () => number
  readonly log: (message: string) => void
  /** Something failed that only a new core host can mend: domains keep running, it adopts them. */
  readonly fatal: (reason: string) => void
}
