// The TCP header: where its fields are, from the header's start, and its flags. RFC 9293 §3.1.

export const SOURCE_PORT = 0
export const DESTINATION_PORT = 2
export const SEQUENCE = 4
export const ACKNOWLEDGMENT = 8
/** Four bits of header length in words, four reserved, then the flags (the upper two of eight belong to ECN). */
export const OFFSET_AND_FLAGS = 12
export const FLAGS = 13
export const WINDOW = 14
export const CHECKSUM = 16
export const URGENT_POINTER = 18

export const FIN = 1
export const SYN = 2
export const RST = 4
export const PSH = 8
export const ACK = 16

/** The largest shift of a window (RFC 7323 §2.3): a larger one is read as this. */
export const MAX_WINDOW_SHIFT = 14
export const MAX_UNSCALED_WINDOW = 65_535

/** What a side that names no MSS can take (RFC 9293 §3.7.1), and the least that we ever use. */
export const DEFAULT_MSS_IPV4 = 536
export const DEFAULT_MSS_IPV6 = 1_220

/** Header bytes of a frame that we send: IP and TCP without options. */
export const IPV4_TCP_BYTES = 40
export const IPV6_TCP_BYTES = 60
