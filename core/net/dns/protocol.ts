// Numbers and places of DNS messages that the forwarder knows by name. RFC 1035 §3.2, §4.1; RFC 6891 §6.1.

/** A message begins with six 16-bit words: id, flags, and how many questions, answers, authorities, additionals. */
export const HEADER_BYTES = 12
export const ID = 0
export const FLAGS = 2
export const QUESTION_COUNT = 4
export const ANSWER_COUNT = 6
export const AUTHORITY_COUNT = 8
export const ADDITIONAL_COUNT = 10

export const IS_RESPONSE = 0x8000
export const OPCODE_MASK = 0x7800
export const IS_AUTHORITATIVE = 0x0400
export const IS_TRUNCATED = 0x0200
export const RECURSION_DESIRED = 0x0100
export const RECURSION_AVAILABLE = 0x0080
export const CHECKING_DISABLED = 0x0010
export const RCODE_MASK = 0x000f

export const NO_ERROR = 0
export const FORMAT_ERROR = 1
export const SERVER_FAILURE = 2
export const NAME_ERROR = 3
export const NOT_IMPLEMENTED = 4
export const REFUSED = 5
/** Of EDNS: its lower four bits are in the header, the others in the OPT record. */
export const BAD_VERSION = 16

export const TYPE_A = 1
export const TYPE_NS = 2
export const TYPE_SOA = 6
export const TYPE_PTR = 12
export const TYPE_AAAA = 28
export const TYPE_OPT = 41
export const TYPE_IXFR = 251
export const TYPE_AXFR = 252
export const TYPE_ANY = 255
export const CLASS_IN = 1
export const CLASS_ANY = 255

/** What a client without EDNS takes over UDP (RFC 1035 §4.2.1). */
export const PLAIN_UDP_BYTES = 512
/** What fits every path without fragments: the size that DNS Flag Day 2020 settled on. No answer over UDP is larger. */
export const LARGEST_UDP_BYTES = 1232
export const LARGEST_MESSAGE_BYTES = 65_535
