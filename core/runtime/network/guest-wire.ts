// A guest's wire as the engine gets it: what is said of it, and the packet socket on its vif.
import type { GuestMessage } from '../../net/engine/messages.ts'
import { NetError } from '../../net/errors.ts'
import type { NetworkSettings } from '../../net/settings.ts'
import { FileDescriptor } from '../../sys/file-descriptor.ts'
import { inNamespace } from '../../sys/network-namespace.ts'
import { openPacketSocket } from '../../sys/packet-socket.ts'
import type { GuestNetworkRecord, GuestRecord } from '../guest-record.ts'
import type { Wire } from './guest-network.ts'

export interface AttachedGuest {
  readonly record: GuestRecord
  readonly network: GuestNetworkRecord
  readonly wire: Wire
}

/** A packet socket on the guest's vif, in the namespace of vifs. Throws NetError `net.device`. */
export function openWire({ record, wire }: AttachedGuest, namespacePath: string): FileDescriptor {
  try {
    return new FileDescriptor(inNamespace(namespacePath, () => openPacketSocket(wire.vif)))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new NetError('net.device', `Cannot take the network of guest "${record.name}" up: ${reason}`, {
      cause: error,
    })
  }
}

/** What the engine has to know of the guest. */
export function guestMessage(
  { record, network }: AttachedGuest,
  { mtu }: NetworkSettings,
): Omit<GuestMessage, 'type'> {
  const { guests, policy, dns } = record.spec.network
  const { mac, ipv4, ipv6 } = network
  return {
    id: record.id,
    name: record.name,
    mac,
    ipv4,
    ipv6,
    mtu,
    device: 'packet',
    configuration: 'static',
    guests,
    policy: policy.map(({ action, range, protocol, ports }) => ({
      action,
      range,
      ...(protocol === undefined ? {} : { protocol }),
      ...(ports === undefined ? {} : { ports }),
    })),
    search: dns.search,
  }
}
