// Why a frame was not carried. Counted per guest under these names, which `bulkhead net stats` shows.

export const dropReasons = [
  /** Shorter than its headers, or lengths that contradict each other. */
  'malformed',
  /** A virtio-net header that lies: offsets past the end, a segment size of 0 or beyond the frame. */
  'bad-offload',
  'bad-checksum',
  /** A source MAC or IP address that is not the guest's. */
  'spoofed-source',
  /** Not to the gateway's MAC. */
  'foreign-mac',
  /** Neither IPv4, IPv6 nor ARP; tagged frames too. */
  'unknown-ether-type',
  /** No protocol that is carried. */
  'unknown-protocol',
  /** A place that no guest may reach. */
  'closed-range',
  /** The guest's own rules. */
  'policy',
  /** To another guest, and one of the two has that switched off. */
  'guest-to-guest',
  /** To an address of the guests' subnet that no guest has. */
  'no-such-guest',
  'multicast',
  'hop-limit',
  /** More flows than allowed, or faster. */
  'flow-limit',
  'flow-rate',
  'descriptor-limit',
  'memory-limit',
  /** Fragments that overlap, are too many or too late. */
  'fragment',
  /** Pings and DNS queries beyond their rate. */
  'rate',
  /** Claims of ARP, NDP, RA or DHCP that a guest has no business to make. */
  'gateway-lie',
  /** TCP that fits no flow's window, or answers nothing. */
  'tcp-unacceptable',
  /** The host did not take it. */
  'host-refused',
  /** The guest's device took no more. */
  'device-full',
  /** The kernel had no room on its way to us (PACKET_STATISTICS). */
  'device-overrun',
  /** Larger than the wire allows. */
  'oversized',
  /** A defect of ours: the frame that met it was dropped. */
  'internal',
] as const

export type DropReason = (typeof dropReasons)[number]

/** The place of each reason in a table of counters. */
export const DROP = Object.fromEntries(dropReasons.map((reason, index) => [reason, index])) as Readonly<
  Record<DropReason, number>
>
