// A guest's frames over a packet socket on its vif (core/sys/packet-socket.ts opens it). Unlike a TAP it loses: where its
// buffer is full the kernel drops and counts, and a frame whose offload the virtio-net header cannot express fails to be
// received (EINVAL) and is lost alone.
import { boundInterface, takePacketDrops } from '../../sys/packet-socket.ts'
import { DescriptorDevice } from './descriptor-device.ts'
import type { DeviceStats } from './frame-device.ts'

export class PacketFrameDevice extends DescriptorDevice {
  stats(): DeviceStats {
    return { overruns: takePacketDrops(this.fd) }
  }

  /** Careful: the kernel reports that the interface went down, and says nothing when it is then removed. */
  isGone(): boolean {
    return boundInterface(this.fd) <= 0
  }
}
