// What may be asked for of a guest's network, checked before the guest is made.
import type { NetworkSpec, PublishedPort } from '../../api/methods.ts'
import { parseAddress } from '../../net/address.ts'
import { NetError } from '../../net/errors.ts'
import { checkRule } from '../../net/policy/range-policy.ts'

/** Throws NetError where a guest could not have what is asked for. */
export function checkSpec({ kind, ports, policy, dns }: NetworkSpec): void {
  if (kind === 'none' && ports.length > 0)
    throw new NetError('net.bad-settings', 'Cannot publish ports of a guest that has no network', {
      hint: 'Leave out "--network none", or the ports.',
    })
  checkPorts(ports)
  for (const { action, range, protocol, ports: of } of policy)
    checkRule({
      action,
      range,
      ...(protocol === undefined ? {} : { protocol }),
      ...(of === undefined ? {} : { ports: of }),
    })
  for (const server of dns.servers) parseAddress(server)
}

/** Throws NetError `net.bad-address` where an address cannot be bound to. */
export function checkPorts(ports: readonly PublishedPort[]): void {
  for (const { bind } of ports) if (bind !== '') parseAddress(bind)
}
