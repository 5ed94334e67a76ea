// What a kernel says about itself to Xen, in ELF notes owned by "Xen": where its virtual memory begins, where
// it is entered, how it wants its page lists and ramdisk. Source: xen/include/public/elfnote.h.

import type { ByteSource } from './byte-source.ts'
import type { ElfImage, NoteArea } from './elf.ts'
import { KernelError } from './kernel-error.ts'

export interface XenNotes {
  /** Virtual address of the PV entry point; absent in kernels that can only be PVH. */
  readonly entry: bigint | undefined
  /** Virtual address of the page the hypervisor fills with call stubs; gone from newer kernels (XSA-466). */
  readonly hypercallPage: bigint | undefined
  readonly virtualBase: bigint | undefined
  /** What to subtract from p_paddr before it is an offset from `virtualBase`. */
  readonly physicalOffset: bigint
  readonly xenVersion: string | undefined
  readonly guestOs: string | undefined
  readonly guestVersion: string | undefined
  readonly loader: string | undefined
  readonly features: string | undefined
  readonly supportedFeatures: bigint | undefined
  /** Virtual address at which the kernel wants its list of machine frames. */
  readonly initialP2m: bigint | undefined
  /** The ramdisk may lie outside the initial mapping, named by frame number. */
  readonly moduleStartIsFrame: boolean
  readonly suspendCancel: boolean
  /** Physical address of the PVH entry point. */
  readonly pvhEntry: number | undefined
}

const TYPE = {
  entry: 1,
  hypercallPage: 2,
  virtualBase: 3,
  physicalOffset: 4,
  xenVersion: 5,
  guestOs: 6,
  guestVersion: 7,
  loader: 8,
  features: 10,
  suspendCancel: 14,
  initialP2m: 15,
  moduleStartIsFrame: 16,
  supportedFeatures: 17,
  pvhEntry: 18,
} as const

/** Notes of honest kernels take a few hundred bytes. */
const MAX_NOTE_AREA_BYTES = 1 << 20

/** Reads the Xen notes: from the program headers, and from the sections when there are none. */
export function readXenNotes(source: ByteSource, elf: ElfImage): XenNotes {
  const inSegments = collect(source, elf.segmentNotes)
  const notes = inSegments.size > 0 ? inSegments : collect(source, elf.sectionNotes)
  const number = (type: number) => numberOf(notes.get(type), type)
  const text = (type: number) => textOf(notes.get(type))
  const pvhEntry = number(TYPE.pvhEntry)
  return {
    entry: number(TYPE.entry),
    hypercallPage: number(TYPE.hypercallPage),
    virtualBase: number(TYPE.virtualBase),
    physicalOffset: number(TYPE.physicalOffset) ?? 0n,
    xenVersion: text(TYPE.xenVersion),
    guestOs: text(TYPE.guestOs),
    guestVersion: text(TYPE.guestVersion),
    loader: text(TYPE.loader),
    features: text(TYPE.features),
    supportedFeatures: number(TYPE.supportedFeatures),
    initialP2m: number(TYPE.initialP2m),
    moduleStartIsFrame: (number(TYPE.moduleStartIsFrame) ?? 0n) !== 0n,
    suspendCancel: (number(TYPE.suspendCancel) ?? 0n) !== 0n,
    pvhEntry: pvhEntry === undefined ? undefined : Number(BigInt.asUintN(32, pvhEntry)),
  }
}

/** What a PV domain must know of its kernel. */
export interface PvKernelNotes {
  readonly entry: bigint
  readonly virtualBase: bigint
}

/**
 * Checks that the kernel can be started as a PV guest, as libxenguest does (elf_xen_note_check,
 * xc_dom_parse_image). Throws `kernel.no-xen-support`.
 */
export function requirePvNotes(notes: XenNotes): PvKernelNotes {
  if (notes.entry === undefined || notes.virtualBase === undefined) {
    throw noSupport(
      notes.pvhEntry === undefined
        ? 'it has no Xen entry point'
        : 'it has an entry point for PVH guests only, none for PV guests',
    )
  }
  if (notes.xenVersion !== undefined && notes.xenVersion !== 'xen-3.0') {
    throw noSupport(`it is for Xen interface "${printable(notes.xenVersion)}", not for "xen-3.0"`)
  }
  return { entry: notes.entry, virtualBase: notes.virtualBase }
}

function collect(source: ByteSource, areas: readonly NoteArea[]): Map<number, Uint8Array> {
  const notes = new Map<number, Uint8Array>()
  for (const area of areas) {
    if (area.sizeBytes > MAX_NOTE_AREA_BYTES) {
      throw new KernelError(
        'malformed',
        `Cannot use kernel image: it has ${area.sizeBytes} bytes of notes, the limit is ${MAX_NOTE_AREA_BYTES}`,
      )
    }
    for (const note of notesIn(source.read(area.fileOffset, area.sizeBytes), area.alignment))
      notes.set(note.type, note.data)
  }
  return notes
}

/** The notes owned by "Xen"; a note that reaches past the area ends the walk. */
function* notesIn(bytes: Uint8Array, alignment: 4 | 8): Generator<{ type: number; data: Uint8Array }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let offset = 0; offset + 12 <= bytes.length; ) {
    const nameSize = view.getUint32(offset, true)
    const dataSize = view.getUint32(offset + 4, true)
    const type = view.getUint32(offset + 8, true)
    const dataStart = roundUp(offset + 12 + nameSize, alignment)
    if (dataStart + dataSize > bytes.length) return
    const isXen = nameSize === 4 && view.getUint32(offset + 12, true) === 0x006e_6558 // "Xen\0"
    if (isXen) yield { type, data: bytes.subarray(dataStart, dataStart + dataSize) }
    offset = roundUp(dataStart + dataSize, alignment)
  }
}

function numberOf(data: Uint8Array | undefined, type: number): bigint | undefined {
  if (data === undefined) return undefined
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  if (data.length === 4) return BigInt(view.getUint32(0, true))
  if (data.length === 8) return view.getBigUint64(0, true)
  throw new KernelError(
    'malformed',
    `Cannot use kernel image: Xen note ${type} has ${data.length} bytes, 4 or 8 are valid`,
  )
}

function textOf(data: Uint8Array | undefined): string | undefined {
  if (data === undefined) return undefined
  const end = data.indexOf(0)
  return Buffer.from(end < 0 ? data : data.subarray(0, end)).toString('latin1')
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple
}

function printable(text: string): string {
  return text.replace(/[^ -~]/g, '?').slice(0, 64)
}

function noSupport(reason: string): KernelError {
  return new KernelError('no-xen-support', `Cannot start kernel as a Xen guest: ${reason}`, {
    hint: 'Use a kernel built with CONFIG_XEN_PV, such as the one of Debian, Fedora or Ubuntu.',
  })
}
