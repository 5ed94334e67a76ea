// Blocks of pcapng as the network engine writes them (draft-ietf-opsawg-pcapng §4).

function block(type: number, body: Buffer): Buffer {
  const length = 12 + body.length
  const bytes = Buffer.alloc(length)
  bytes.writeUInt32LE(type, 0)
  bytes.writeUInt32LE(length, 4)
  body.copy(bytes, 8)
  bytes.writeUInt32LE(length, length - 4)
  return bytes
}

/** What a capture begins with: a section header and one Ethernet interface. */
export function captureStart(): Buffer {
  return Buffer.concat([sectionHeader(), interfaceDescription()])
}

export function sectionHeader(): Buffer {
  const section = Buffer.alloc(16)
  section.writeUInt32LE(0x1a2b3c4d, 0)
  section.writeUInt16LE(1, 4)
  section.fill(0xff, 8) // The length of the section is not known.
  return block(0x0a0d0d0a, section)
}

export function interfaceDescription(): Buffer {
  const description = Buffer.alloc(8)
  description.writeUInt16LE(1, 0) // LINKTYPE_ETHERNET
  return block(1, description)
}

/** A frame of `bytes` bytes. */
export function enhancedPacket(bytes: number): Buffer {
  const body = Buffer.alloc(20 + Math.ceil(bytes / 4) * 4)
  body.writeUInt32LE(bytes, 12)
  body.writeUInt32LE(bytes, 16)
  return block(6, body)
}

/** `dropped` frames had no room. */
export function statistics(dropped: number): Buffer {
  const body = Buffer.alloc(12 + 12 + 12 + 4)
  body.writeUInt16LE(4, 12) // isb_ifrecv
  body.writeUInt16LE(8, 14)
  body.writeUInt16LE(5, 24) // isb_ifdrop
  body.writeUInt16LE(8, 26)
  body.writeBigUInt64LE(BigInt(dropped), 28)
  return block(5, body)
}
