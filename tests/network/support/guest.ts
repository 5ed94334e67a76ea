// The guest's side of a wire: a network namespace whose kernel plays the guest, configured as guest-init does it, on a TAP
// or on a veth that stands in for a vif; or no kernel at all, but a test that makes the frames itself (raw-wire.ts).

import type { GuestMessage, PolicyRule } from '../../../core/net/engine/messages.ts'
import { inNamespace } from '../../../core/sys/network-namespace.ts'
import { openPacketSocket } from '../../../core/sys/packet-socket.ts'
import { openTapDevice } from '../../../core/sys/tap-device.ts'
import type { Namespace } from './namespace.ts'
import type { NetworkLab } from './network-lab.ts'

export const GATEWAY = { ipv4: '10.75.0.1', ipv6: 'fdd4:1476:6c7e::1', mac: '02:42:4b:00:00:01' } as const
export const GUEST_LINK = 'eth0'

export interface GuestOptions {
  readonly device?: 'tap' | 'packet'
  /** False: its driver leaves nothing to the other side, neither checksums nor segmentation. */
  readonly offloads?: boolean
  readonly configuration?: 'static' | 'foreign'
  readonly guests?: boolean
  readonly policy?: readonly PolicyRule[]
}

/** What the core host tells about a guest, for the guest of this number (1 to 254) of a test. */
export function guestMessage(number: number, options: GuestOptions = {}): Omit<GuestMessage, 'type'> {
  const hex = number.toString(16).padStart(2, '0')
  const isForeign = options.configuration === 'foreign'
  return {
    id: `guest-${number}`,
    name: `guest${number}`,
    mac: `00:16:3e:00:00:${hex}`,
    ipv4: `10.75.1.${number}`,
    // A guest that makes its own address makes this one of its MAC (RFC 4291, appendix A).
    ipv6: isForeign ? `fdd4:1476:6c7e:0:216:3eff:fe00:${number.toString(16)}` : `fdd4:1476:6c7e::a4b:1${hex}`,
    mtu: 1500,
    device: options.device ?? 'tap',
    configuration: options.configuration ?? 'static',
    guests: options.guests ?? true,
    policy: options.policy ?? [],
    search: [],
  }
}

/** A guest with a kernel of its own. */
export interface Guest {
  readonly message: Omit<GuestMessage, 'type'>
  readonly namespace: Namespace
  /** The engine's end of the wire. */
  readonly fd: number
}

export async function createGuest(
  lab: NetworkLab,
  number: number,
  options: GuestOptions = {},
): Promise<Guest> {
  const message = guestMessage(number, options)
  const namespace = await lab.namespace(`guest${number}`)
  // Only addresses that are configured here or come by router advertisement; and only foreign guests listen to those.
  const isForeign = message.configuration === 'foreign'
  await namespace.sysctl(`net.ipv6.conf.default.accept_ra=${isForeign ? 1 : 0}`)
  const fd =
    message.device === 'tap'
      ? inNamespace(namespace.path, () => openTapDevice(GUEST_LINK, { offloads: options.offloads ?? true }))
      : await packetSocket(lab, namespace, number, options.offloads ?? true)
  await namespace.ip('link', 'set', GUEST_LINK, 'address', message.mac, 'up')
  if (!isForeign) await configure(namespace, message)
  return { message, namespace, fd }
}

/** Addresses that are alone in their networks, and a gateway said to be on the link, as guest-init has them. */
async function configure(namespace: Namespace, { ipv4, ipv6 }: Omit<GuestMessage, 'type'>): Promise<void> {
  const onLink = ['dev', GUEST_LINK, 'onlink']
  await namespace.ip('address', 'add', `${ipv4}/32`, 'dev', GUEST_LINK)
  await namespace.ip('route', 'add', 'default', 'via', GATEWAY.ipv4, ...onLink)
  await namespace.ip('address', 'add', `${ipv6}/128`, 'dev', GUEST_LINK, 'nodad')
  await namespace.ip('-6', 'route', 'add', 'default', 'via', GATEWAY.ipv6, ...onLink)
}

/** A veth stands in for the vif, its far end in a namespace in which no kernel answers. */
async function packetSocket(
  lab: NetworkLab,
  guest: Namespace,
  number: number,
  offloads: boolean,
): Promise<number> {
  const vifs = await lab.vifs()
  const vif = `vif${number}.0`
  await vifs.ip('link', 'add', vif, 'type', 'veth', 'peer', 'name', GUEST_LINK, 'netns', guest.name)
  await vifs.ip('link', 'set', vif, 'up')
  if (!offloads) await guest.run('ethtool', '-K', GUEST_LINK, 'tx', 'off', 'tso', 'off', 'gso', 'off')
  return inNamespace(vifs.path, () => openPacketSocket(vif))
}
