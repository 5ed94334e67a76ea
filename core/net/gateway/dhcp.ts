// The DHCP server of a guest's wire. It has one address to give, the guest's own, and always gives it: there is no state.
// RFC 2131 (§4.1 where answers go, §4.3 what is answered), RFC 2132, RFC 3442, RFC 4039, RFC 6842.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { MAPPED_PREFIX } from '../address.ts'
import { fold, internetSum, pseudoHeaderSumAt } from '../frame/checksum.ts'
import type { DropReason } from '../frame/drop-reason.ts'
import type { Frame } from '../frame/frame.ts'
import { DESTINATION_MAC, NETWORK, PROTOCOL_UDP, UDP_HEADER_BYTES } from '../frame/layout.ts'
import { writeIpv4Checksum, writeNetworkHeaders } from '../frame/write-headers.ts'
import type { GuestPort } from '../guest-port.ts'
import { DHCP_OPTION, findOption, OptionWriter } from './dhcp-options.ts'
import { type GatewayIdentity, subnetMask } from './gateway-identity.ts'

export const DHCP_SERVER_PORT = 67
export const DHCP_CLIENT_PORT = 68

/** The message, RFC 2131 §2. Offsets from the UDP payload on. */
const OPERATION = 0
const HARDWARE_TYPE = 1
const HARDWARE_BYTES = 2
const FLAGS = 10
const CLIENT_ADDRESS = 12
const YOUR_ADDRESS = 16
const RELAY_ADDRESS = 24
const CLIENT_MAC = 28
const COOKIE = 236
const OPTIONS = 240
const MAGIC = 0x6382_5363
const BOOT_REQUEST = 1
const BOOT_REPLY = 2
const ETHERNET = 1
const FLAG_BROADCAST = 0x8000

const DISCOVER = 1
const OFFER = 2
const REQUEST = 3
const ACK = 5
const NAK = 6
const INFORM = 8

const LEASE_SECONDS = 86_400
/** RFC 2131 §4.4.5: half and seven eighths of the lease. */
const RENEWAL_SECONDS = LEASE_SECONDS / 2
const REBINDING_SECONDS = (LEASE_SECONDS * 7) / 8
/** What every client takes (RFC 2131 §2), IP and UDP headers counted. */
const SMALLEST_MESSAGE_BYTES = 576
const BROADCAST = -1

/** What a guest is told besides its addresses. */
export interface DhcpNames {
  readonly hostName: Uint8Array
  readonly domainName: Uint8Array
  /** Of encodeDomainNames(). */
  readonly search: Uint8Array
}

/** Whether a datagram from the guest to port 67 is a well-formed request in its own name. Undefined when it is. */
export function dhcpFault(port: GuestPort, frame: Frame): DropReason | undefined {
  const { view, bytes } = frame.buffer
  const message = frame.transport + UDP_HEADER_BYTES
  if (frame.isIpv6 || message + OPTIONS > frame.end) return 'malformed'
  if (view.getUint16(frame.transport) !== DHCP_CLIENT_PORT) return 'gateway-lie'
  if (view.getUint8(message + OPERATION) !== BOOT_REQUEST) return 'gateway-lie'
  if (view.getUint8(message + HARDWARE_TYPE) !== ETHERNET || view.getUint8(message + HARDWARE_BYTES) !== 6)
    return 'malformed'
  if (view.getUint32(message + COOKIE) !== MAGIC) return 'malformed'
  for (let index = 0; index < 6; index++)
    if (bytes[message + CLIENT_MAC + index] !== port.mac[index]) return 'spoofed-source'
  // There are no relays on a wire with one guest.
  return view.getInt32(message + RELAY_ADDRESS) === 0 ? undefined : 'gateway-lie'
}

/** Writes the answer to an honest request into `target`: the bytes of the frame, or 0 where there is nothing to say. */
export function answerDhcp(
  port: GuestPort,
  frame: Frame,
  gateway: GatewayIdentity,
  names: DhcpNames,
  target: PinnedBuffer,
): number {
  const { buffer } = frame
  const message = frame.transport + UDP_HEADER_BYTES
  const type = byteOption(buffer, message + OPTIONS, frame.end, DHCP_OPTION.messageType)
  const answer = answerType(port, frame, gateway, message, type)
  if (answer === 0) return 0
  return writeReply(port, frame, gateway, names, target, message, answer, type === INFORM)
}

function answerType(
  port: GuestPort,
  frame: Frame,
  gateway: GatewayIdentity,
  message: number,
  type: number,
): number {
  const options = message + OPTIONS
  const clientAddress = frame.buffer.view.getInt32(message + CLIENT_ADDRESS)
  switch (type) {
    case DISCOVER:
      return findOption(frame.buffer, options, frame.end, DHCP_OPTION.rapidCommit) === 0 ? OFFER : ACK
    case REQUEST: {
      const server = wordOption(frame.buffer, options, frame.end, DHCP_OPTION.server)
      // It has taken another server's offer (RFC 2131 §4.3.2).
      if (server !== 0 && server !== gateway.ipv4) return 0
      const asked = wordOption(frame.buffer, options, frame.end, DHCP_OPTION.requestedAddress)
      return (asked === 0 ? clientAddress : asked) === port.ipv4 ? ACK : NAK
    }
    case INFORM:
      return clientAddress === port.ipv4 ? ACK : 0
    default:
      // DECLINE and RELEASE: the address is the guest's whatever it says.
      return 0
  }
}

function writeReply(
  port: GuestPort,
  frame: Frame,
  gateway: GatewayIdentity,
  names: DhcpNames,
  target: PinnedBuffer,
  message: number,
  type: number,
  isInform: boolean,
): number {
  const asked = frame.buffer
  const reply = NETWORK + 20 + UDP_HEADER_BYTES
  target.bytes.fill(0, reply, reply + OPTIONS)
  target.bytes.set(asked.bytes.subarray(message, message + 28 + 16), reply)
  const { view } = target
  view.setUint8(reply + OPERATION, BOOT_REPLY)
  view.setUint8(reply + 3, 0)
  view.setUint16(reply + 8, 0)
  view.setInt32(reply + YOUR_ADDRESS, type === NAK || isInform ? 0 : port.ipv4)
  view.setInt32(reply + 20, 0)
  if (type === NAK) view.setInt32(reply + CLIENT_ADDRESS, 0)
  view.setUint32(reply + COOKIE, MAGIC)
  const writer = new OptionWriter(target, reply + OPTIONS, NETWORK + longestMessage(frame, message, port.mtu))
  writer.byte(DHCP_OPTION.messageType, type)
  writer.word(DHCP_OPTION.server, gateway.ipv4)
  echoClientIdentifier(writer, frame, message)
  if (type !== NAK) writeConfiguration(writer, port, gateway, names, isInform)
  if (type === ACK && byteOption(asked, message + OPTIONS, frame.end, DHCP_OPTION.messageType) === DISCOVER)
    writer.data(DHCP_OPTION.rapidCommit, new Uint8Array(0))
  const end = writer.end()
  writeDatagramHeaders(port, frame, gateway, target, end - reply, message, type)
  return end
}

function writeConfiguration(
  writer: OptionWriter,
  port: GuestPort,
  gateway: GatewayIdentity,
  names: DhcpNames,
  isInform: boolean,
): void {
  // No lease for who has its address from elsewhere (RFC 2131 §4.3.5).
  if (!isInform) {
    writer.word(DHCP_OPTION.leaseSeconds, LEASE_SECONDS)
    writer.word(DHCP_OPTION.renewalSeconds, RENEWAL_SECONDS)
    writer.word(DHCP_OPTION.rebindingSeconds, REBINDING_SECONDS)
  }
  const mask = subnetMask(gateway.ipv4PrefixBits)
  writer.word(DHCP_OPTION.subnetMask, mask)
  writer.data(DHCP_OPTION.classlessRoutes, classlessRoutes(gateway.ipv4))
  writer.word(DHCP_OPTION.router, gateway.ipv4)
  writer.word(DHCP_OPTION.nameServers, gateway.ipv4)
  writer.short(DHCP_OPTION.mtu, port.mtu)
  writer.word(DHCP_OPTION.broadcastAddress, gateway.ipv4Network | ~mask)
  if (names.hostName.length > 0) writer.data(DHCP_OPTION.hostName, names.hostName)
  if (names.domainName.length > 0) writer.data(DHCP_OPTION.domainName, names.domainName)
  if (names.search.length > 0) writer.data(DHCP_OPTION.searchDomains, names.search)
}

/** The gateway on the link, and everything else through it: right for masks of /16 and of /32 (RFC 3442). */
function classlessRoutes(gateway: number): Uint8Array {
  const octets = [gateway >>> 24, (gateway >>> 16) & 255, (gateway >>> 8) & 255, gateway & 255]
  return Uint8Array.from([32, ...octets, 0, 0, 0, 0, 0, ...octets])
}

/** RFC 6842: the client's identifier comes back unchanged. */
function echoClientIdentifier(writer: OptionWriter, frame: Frame, message: number): void {
  const at = findOption(frame.buffer, message + OPTIONS, frame.end, DHCP_OPTION.clientIdentifier)
  if (at === 0) return
  const { bytes } = frame.buffer
  writer.data(DHCP_OPTION.clientIdentifier, bytes.subarray(at + 1, at + 1 + (bytes[at] ?? 0)))
}

/** What the client takes, headers of IP and UDP counted, and never more than a packet of the wire. */
function longestMessage(frame: Frame, message: number, mtu: number): number {
  const at = findOption(frame.buffer, message + OPTIONS, frame.end, DHCP_OPTION.longestMessage)
  const asked = at !== 0 && frame.buffer.bytes[at] === 2 ? frame.buffer.view.getUint16(at + 1) : 0
  return Math.min(mtu, Math.max(SMALLEST_MESSAGE_BYTES, asked))
}

function writeDatagramHeaders(
  port: GuestPort,
  frame: Frame,
  gateway: GatewayIdentity,
  target: PinnedBuffer,
  messageBytes: number,
  message: number,
  type: number,
): void {
  const { view } = target
  const datagramBytes = UDP_HEADER_BYTES + messageBytes
  const transport = writeNetworkHeaders(
    target,
    port,
    gateway.mac,
    0,
    0,
    MAPPED_PREFIX,
    gateway.ipv4,
    PROTOCOL_UDP,
    datagramBytes,
  )
  const hasAddress = frame.buffer.view.getInt32(message + CLIENT_ADDRESS) !== 0
  const wantsBroadcast = (frame.buffer.view.getUint16(message + FLAGS) & FLAG_BROADCAST) !== 0
  if (type === NAK || (wantsBroadcast && !hasAddress)) {
    view.setInt32(NETWORK + 16, BROADCAST)
    writeIpv4Checksum(target)
    target.bytes.fill(0xff, DESTINATION_MAC, DESTINATION_MAC + 6)
  }
  view.setUint16(transport, DHCP_SERVER_PORT)
  view.setUint16(transport + 2, DHCP_CLIENT_PORT)
  view.setUint16(transport + 4, datagramBytes)
  view.setUint16(transport + 6, 0)
  // Clients read with packet sockets and check the sum themselves, so it is filled in and not left to the guest.
  const sum = internetSum(
    target,
    transport,
    datagramBytes,
    pseudoHeaderSumAt(target, PROTOCOL_UDP, datagramBytes),
  )
  view.setUint16(transport + 6, ~fold(sum) & 0xffff || 0xffff)
}

function byteOption(buffer: PinnedBuffer, from: number, to: number, code: number): number {
  const at = findOption(buffer, from, to, code)
  return at !== 0 && buffer.bytes[at] === 1 ? (buffer.bytes[at + 1] ?? 0) : 0
}

function wordOption(buffer: PinnedBuffer, from: number, to: number, code: number): number {
  const at = findOption(buffer, from, to, code)
  return at !== 0 && buffer.bytes[at] === 4 ? buffer.view.getInt32(at + 1) : 0
}
