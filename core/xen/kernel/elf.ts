// Reads the headers of an x86-64 ELF kernel: what to load where, and where its notes are. Kernels may come
// with an image from anywhere, so every offset, size and count is checked before it is used. Source of the
// layout: System V ABI, ELF-64 object file format.

import { type Struct, structLayout, u8, u16, u32, u64 } from '../../sys/struct-layout.ts'
import type { ByteSource } from './byte-source.ts'
import { KernelError } from './kernel-error.ts'

/** One PT_LOAD segment; addresses and sizes in bytes. */
export interface LoadSegment {
  readonly fileOffset: number
  readonly fileSize: number
  readonly physicalAddress: number
  /** At least `fileSize`; what lies beyond is zeros. */
  readonly memorySize: number
}

/** A run of ELF notes in the file. */
export interface NoteArea {
  readonly fileOffset: number
  readonly sizeBytes: number
  /** Padding of names and descriptors: 4, or 8 where the producer said so. */
  readonly alignment: 4 | 8
}

export interface ElfImage {
  readonly entry: bigint
  readonly segments: readonly LoadSegment[]
  /** From PT_NOTE program headers, in file order. */
  readonly segmentNotes: readonly NoteArea[]
  /** From SHT_NOTE sections: a kernel may have its notes only there. */
  readonly sectionNotes: readonly NoteArea[]
  /** Lowest physical address loaded. */
  readonly physicalStart: number
  /** One past the highest physical address loaded. */
  readonly physicalEnd: number
}

const elfHeader = structLayout('Elf64_Ehdr', 64, {
  class: u8(4),
  data: u8(5),
  type: u16(16),
  machine: u16(18),
  entry: u64(24),
  programOffset: u64(32),
  sectionOffset: u64(40),
  programEntrySize: u16(54),
  programCount: u16(56),
  sectionEntrySize: u16(58),
  sectionCount: u16(60),
})
const programHeader = structLayout('Elf64_Phdr', 56, {
  type: u32(0),
  offset: u64(8),
  physicalAddress: u64(24),
  fileSize: u64(32),
  memorySize: u64(40),
  alignment: u64(48),
})
const sectionHeader = structLayout('Elf64_Shdr', 64, {
  type: u32(4),
  offset: u64(24),
  fileSize: u64(32),
  alignment: u64(48),
})

const CLASS_64 = 2
const LITTLE_ENDIAN = 1
const TYPE_EXECUTABLE = 2
const TYPE_SHARED = 3
const MACHINE_X86_64 = 62
const PT_LOAD = 1
const PT_NOTE = 4
const SHT_NOTE = 7

/** A PV kernel lives in the top 2 GiB of virtual memory, so no honest image is near these. */
const MAX_PHYSICAL_ADDRESS = 2 ** 46
const MAX_IMAGE_SPAN = 2 ** 30
const MAX_PROGRAM_HEADERS = 256

type ElfHeader = Struct<typeof elfHeader.fields>
type ProgramHeader = Struct<typeof programHeader.fields>
type SectionHeader = Struct<typeof sectionHeader.fields>

/** True when the bytes begin as an ELF file does. */
export function hasElfMagic(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46
}

/** Parses and checks the headers. Throws `KernelError` (`kernel.malformed`, `kernel.not-a-kernel`). */
export function parseElf(source: ByteSource): ElfImage {
  const header = readHeader(source)
  const segments: LoadSegment[] = []
  const segmentNotes: NoteArea[] = []
  for (const program of readProgramHeaders(source, header)) {
    if (program.type === PT_LOAD) {
      const segment = readSegment(program, source.sizeBytes)
      if (segment.memorySize > 0) segments.push(segment)
    } else if (program.type === PT_NOTE) {
      segmentNotes.push(readNoteArea(program, source.sizeBytes))
    }
  }
  if (segments.length === 0) throw malformed('it has no segment to load')
  checkOverlap(segments)

  const physicalStart = Math.min(...segments.map((segment) => segment.physicalAddress))
  const physicalEnd = Math.max(...segments.map((segment) => segment.physicalAddress + segment.memorySize))
  if (physicalEnd - physicalStart > MAX_IMAGE_SPAN) {
    throw malformed(`its segments span ${physicalEnd - physicalStart} bytes, the limit is ${MAX_IMAGE_SPAN}`)
  }
  const sectionNotes = readSectionHeaders(source, header)
    .filter((section) => section.type === SHT_NOTE)
    .map((section) => readNoteArea(section, source.sizeBytes))
  return { entry: header.entry, segments, segmentNotes, sectionNotes, physicalStart, physicalEnd }
}

function checkOverlap(segments: readonly LoadSegment[]): void {
  const ordered = segments.toSorted((one, other) => one.physicalAddress - other.physicalAddress)
  let end = 0
  for (const { physicalAddress, memorySize } of ordered) {
    if (physicalAddress < end)
      throw malformed(`two segments overlap at physical address 0x${physicalAddress.toString(16)}`)
    end = physicalAddress + memorySize
  }
}

function readHeader(source: ByteSource): ElfHeader {
  if (source.sizeBytes < elfHeader.sizeBytes) {
    throw notAKernel(`it has ${source.sizeBytes} bytes, an ELF header has ${elfHeader.sizeBytes}`)
  }
  const bytes = source.read(0, elfHeader.sizeBytes)
  if (!hasElfMagic(bytes)) throw notAKernel('it does not begin with the ELF magic')
  const header = elfHeader.at(viewOf(bytes))
  if (header.class !== CLASS_64 || header.data !== LITTLE_ENDIAN) {
    throw notAKernel('it is not a 64-bit little-endian ELF file')
  }
  if (header.machine !== MACHINE_X86_64) {
    throw notAKernel(`it is for ELF machine ${header.machine}, not for x86-64 (${MACHINE_X86_64})`)
  }
  if (header.type !== TYPE_EXECUTABLE && header.type !== TYPE_SHARED) {
    throw notAKernel(`its ELF type is ${header.type}, not an executable`)
  }
  return header
}

function readProgramHeaders(source: ByteSource, header: ElfHeader): ProgramHeader[] {
  const count = header.programCount
  if (count > MAX_PROGRAM_HEADERS)
    throw malformed(`it claims ${count} program headers, the limit is ${MAX_PROGRAM_HEADERS}`)
  const entrySize = header.programEntrySize
  if (count > 0 && entrySize < programHeader.sizeBytes)
    throw malformed(`its program headers have ${entrySize} bytes each`)
  const view = viewOf(
    source.read(exactSize(header.programOffset, 'program header offset'), count * entrySize),
  )
  return Array.from({ length: count }, (_, index) => programHeader.at(view, index * entrySize))
}

function readSectionHeaders(source: ByteSource, header: ElfHeader): SectionHeader[] {
  if (header.sectionOffset === 0n) return []
  const count = header.sectionCount
  const entrySize = header.sectionEntrySize
  if (count > 0 && entrySize < sectionHeader.sizeBytes)
    throw malformed(`its section headers have ${entrySize} bytes each`)
  const view = viewOf(
    source.read(exactSize(header.sectionOffset, 'section header offset'), count * entrySize),
  )
  return Array.from({ length: count }, (_, index) => sectionHeader.at(view, index * entrySize))
}

function readSegment(program: ProgramHeader, fileSizeBytes: number): LoadSegment {
  const fileOffset = exactSize(program.offset, 'segment offset')
  const fileSize = exactSize(program.fileSize, 'segment file size')
  const memorySize = exactSize(program.memorySize, 'segment memory size')
  const physicalAddress = exactSize(program.physicalAddress, 'segment physical address')
  if (fileOffset + fileSize > fileSizeBytes) {
    throw malformed(`a segment ends at byte ${fileOffset + fileSize}, the file has ${fileSizeBytes}`)
  }
  if (fileSize > memorySize)
    throw malformed(`a segment has ${fileSize} bytes in the file but ${memorySize} in memory`)
  if (physicalAddress + memorySize > MAX_PHYSICAL_ADDRESS) {
    throw malformed(`a segment would be loaded at physical address 0x${physicalAddress.toString(16)}`)
  }
  return { fileOffset, fileSize, physicalAddress, memorySize }
}

function readNoteArea(header: ProgramHeader | SectionHeader, fileSizeBytes: number): NoteArea {
  const fileOffset = exactSize(header.offset, 'note offset')
  const sizeBytes = exactSize(header.fileSize, 'note size')
  if (fileOffset + sizeBytes > fileSizeBytes) {
    throw malformed(`its notes end at byte ${fileOffset + sizeBytes}, the file has ${fileSizeBytes}`)
  }
  return { fileOffset, sizeBytes, alignment: header.alignment === 8n ? 8 : 4 }
}

/** A 64-bit size or offset as a number; what cannot be exact cannot be honest either. */
function exactSize(value: bigint, what: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed(`its ${what} is 0x${value.toString(16)}`)
  return Number(value)
}

function viewOf(bytes: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function malformed(reason: string): KernelError {
  return new KernelError('malformed', `Cannot use kernel image: ${reason}`)
}

function notAKernel(reason: string): KernelError {
  return new KernelError('not-a-kernel', `Cannot use kernel image: ${reason}`, {
    hint: 'A guest kernel is an x86-64 Linux bzImage (vmlinuz) or an uncompressed ELF file (vmlinux).',
  })
}
