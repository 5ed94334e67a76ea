// The two pages through which a PV kernel learns what it was given: start_info, whose address is in its first
// register, and shared_info. Source: xen/include/public/xen.h and arch-x86/xen.h (the same from 4.14 to
// 4.22).

import { bytes, size, structLayout, u8, u32, u64 } from '../../sys/struct-layout.ts'
import type { FrameList } from './frame-list.ts'
import { PAGE_BYTES, type PvLayout } from './layout.ts'

const COMMAND_LINE_BYTES = 1024
/** What fits beside the terminating NUL. */
export const MAX_COMMAND_LINE_BYTES = COMMAND_LINE_BYTES - 1

const startInfo = structLayout('struct start_info', 1168, {
  magic: bytes(0, 32),
  totalPages: size(32),
  sharedInfoAddress: size(40),
  flags: u32(48),
  storeFrame: size(56),
  storePort: u32(64),
  consoleFrame: size(72),
  consolePort: u32(80),
  pageTableBase: u64(88),
  pageTablePages: size(96),
  frameList: u64(104),
  moduleStart: u64(112),
  moduleBytes: size(120),
  commandLine: bytes(128, COMMAND_LINE_BYTES),
  firstFrameListPage: size(1152),
  frameListPages: size(1160),
})
const MAGIC = 'xen-3.0-x86_64'
/** SIF_MOD_START_PFN: `moduleStart` is a page, not an address. */
const MODULE_START_IS_PAGE = 8

const vcpuInfo = structLayout('struct vcpu_info', 64, { upcallMask: u8(1) })
/** XEN_LEGACY_MAX_VCPUS: those that have their vcpu_info in the shared page. */
const SHARED_VCPUS = 32

export interface StartInfoRequest {
  readonly layout: PvLayout
  readonly frames: FrameList
  readonly virtualBase: bigint
  readonly totalPages: number
  readonly sharedInfoFrame: number
  readonly storePort: number
  readonly consolePort: number
  readonly initrdBytes: number
  readonly commandLine: string
}

/** The start_info page. `commandLine` has been checked to fit. */
export function writeStartInfo(request: StartInfoRequest): Uint8Array<ArrayBuffer> {
  const { layout, frames } = request
  const page = new Uint8Array(PAGE_BYTES)
  const info = startInfo.at(new DataView(page.buffer))
  const addressOf = (pageNumber: number) => request.virtualBase + BigInt(pageNumber * PAGE_BYTES)
  info.magic = Buffer.from(MAGIC)
  info.totalPages = request.totalPages
  info.sharedInfoAddress = request.sharedInfoFrame * PAGE_BYTES
  info.storeFrame = frames.frameOf(layout.xenstorePage)
  info.storePort = request.storePort
  info.consoleFrame = frames.frameOf(layout.consolePage)
  info.consolePort = request.consolePort
  info.pageTableBase = addressOf(layout.pageTables.firstPage)
  info.pageTablePages = layout.pageTables.pages
  info.frameList = layout.frameListAddress
  if (layout.initrd !== undefined) {
    const { firstPage, isMapped } = layout.initrd
    info.flags = isMapped ? 0 : MODULE_START_IS_PAGE
    info.moduleStart = isMapped ? addressOf(firstPage) : BigInt(firstPage)
    info.moduleBytes = request.initrdBytes
  }
  info.commandLine = Buffer.from(request.commandLine)
  const ownTables = layout.frameListMapping
  if (ownTables !== undefined) {
    info.firstFrameListPage = layout.frameList.firstPage
    info.frameListPages =
      layout.frameList.pages + ownTables.l3Tables + ownTables.l2Tables + ownTables.l1Tables
  }
  return page
}

/** The shared_info page: every vCPU begins with its event upcalls masked. */
export function writeSharedInfo(): Uint8Array<ArrayBuffer> {
  const page = new Uint8Array(PAGE_BYTES)
  const view = new DataView(page.buffer)
  for (let vcpu = 0; vcpu < SHARED_VCPUS; vcpu++) vcpuInfo.at(view, vcpu * vcpuInfo.sizeBytes).upcallMask = 1
  return page
}
