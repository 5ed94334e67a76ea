// Where things are in a frame: a virtio-net header, then Ethernet, then IP. Everything of the packet path reads and writes
// frames through these numbers. Sources: virtio 1.2 §5.1.6 (the 10-byte header that Linux's packet sockets and TAPs
// use, if_packet(7), tun.h), IEEE 802.3, RFC 791 §3.1, RFC 8200 §3, RFC 9293 §3.1, RFC 768.

/** struct virtio_net_hdr, little endian. */
export const VIRTIO_HEADER_BYTES = 10
export const VIRTIO_FLAGS = 0
export const VIRTIO_GSO_TYPE = 1
export const VIRTIO_HEADER_LENGTH = 2
export const VIRTIO_GSO_SIZE = 4
export const VIRTIO_CHECKSUM_START = 6
export const VIRTIO_CHECKSUM_OFFSET = 8
export const FLAG_NEEDS_CHECKSUM = 1
export const FLAG_DATA_VALID = 2
export const GSO_NONE = 0
export const GSO_TCPV4 = 1
export const GSO_UDP = 3
export const GSO_TCPV6 = 4
export const GSO_UDP_L4 = 5
export const GSO_ECN = 0x80

export const ETHERNET_BYTES = 14
export const DESTINATION_MAC = VIRTIO_HEADER_BYTES
export const SOURCE_MAC = VIRTIO_HEADER_BYTES + 6
export const ETHER_TYPE = VIRTIO_HEADER_BYTES + 12
export const ETHER_IPV4 = 0x0800
export const ETHER_ARP = 0x0806
export const ETHER_IPV6 = 0x86dd
/** Where the network header begins. */
export const NETWORK = VIRTIO_HEADER_BYTES + ETHERNET_BYTES

export const IPV4_HEADER_BYTES = 20
export const IPV6_HEADER_BYTES = 40
export const PROTOCOL_ICMP = 1
export const PROTOCOL_TCP = 6
export const PROTOCOL_UDP = 17
export const PROTOCOL_ICMPV6 = 58

export const TCP_HEADER_BYTES = 20
export const UDP_HEADER_BYTES = 8

/** The largest frame with its virtio-net header: 64 KiB of IP, Ethernet with room for a tag. */
export const MAX_FRAME_BYTES = VIRTIO_HEADER_BYTES + 18 + 65_536
