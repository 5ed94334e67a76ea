// Loop devices: files as block devices, made by ioctls alone (no losetup, no udev; devtmpfs makes the nodes).
// Source: Linux, include/uapi/linux/loop.h and drivers/block/loop.c.
import { constants, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { BulkheadError } from '../errors.ts'
import { type FileDescriptor, openFile } from './file-descriptor.ts'
import { ioctl } from './libc.ts'
import { allocateNativeMemory } from './native-memory.ts'
import { bytes, structLayout, u32, u64 } from './struct-layout.ts'
import { isSystemError } from './system-error.ts'

const LOOP_CTL_GET_FREE = 0x4c82
const LOOP_CONFIGURE = 0x4c0a
const LOOP_CLR_FD = 0x4c01
const LOOP_GET_STATUS64 = 0x4c05
const LO_FLAGS_READ_ONLY = 1
const LOOP_MAJOR = 7

const loopInfo64 = structLayout('struct loop_info64', 232, {
  device: u64(0),
  inode: u64(8),
  number: u32(40),
  flags: u32(52),
  fileName: bytes(56, 64),
})
const INFO_OFFSET = 8
const loopConfig = structLayout('struct loop_config', 304, { fd: u32(0), blockSize: u32(4) })

export interface LoopDevice {
  readonly number: number
  /** `/dev/loop3` */
  readonly path: string
  readonly major: number
  readonly minor: number
  /** What identifies the file behind it, also after it was renamed or unlinked. */
  readonly backing: BackingFile
}

export interface BackingFile {
  /** The file system's device number, in the kernel's encoding (as stat's `dev`). */
  readonly device: bigint
  readonly inode: bigint
}

export interface AttachLoopDeviceOptions {
  readonly path: string
  readonly access: 'read-only' | 'read-write'
}

/** A loop device cannot be had: `loop.no-driver`, `loop.busy`, `loop.no-node`. */
export class LoopDeviceError extends BulkheadError {}

const MAX_ATTEMPTS = 128

/**
 * Makes a file a block device. It stays until `detachLoopDevice()`, also when this process ends. Throws
 * LoopDeviceError, or Node's error when the file cannot be opened.
 */
export function attachLoopDevice({ path, access }: AttachLoopDeviceOptions): LoopDevice {
  // The folder may belong to a user with fewer rights than ours: no link of theirs is followed.
  const flags = (access === 'read-only' ? constants.O_RDONLY : constants.O_RDWR) | constants.O_NOFOLLOW
  using file = openFile(path, flags)
  using control = openControl(path)
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const number = ioctl(control.fd, LOOP_CTL_GET_FREE, 0, 'find a free loop device')
    using device = openNode(number, flags)
    const request = allocateNativeMemory(loopConfig.sizeBytes)
    loopConfig.at(request.view).fd = file.fd
    const info = loopInfo64.at(request.view, INFO_OFFSET)
    info.flags = access === 'read-only' ? LO_FLAGS_READ_ONLY : 0
    // What losetup shows when sysfs is missing; cut at 63 bytes as there.
    info.fileName = Buffer.from(path).subarray(0, 63)
    try {
      ioctl(device.fd, LOOP_CONFIGURE, request.address, `make ${nodePath(number)} from "${path}"`)
    } catch (error) {
      // Another program took the device between the two calls.
      if (isSystemError(error, 'EBUSY')) continue
      throw error
    }
    const backing = readBacking(device)
    if (backing === undefined) continue
    return { number, path: nodePath(number), major: LOOP_MAJOR, minor: number, backing }
  }
  throw new LoopDeviceError(
    'loop.busy',
    `Cannot make a loop device from "${path}": ${MAX_ATTEMPTS} attempts failed`,
    {
      hint: 'Another program takes loop devices as fast as they are made; see losetup -l.',
    },
  )
}

/**
 * Frees a loop device if the file behind it is still `backing`; false when it is not (freed already, or
 * reused by somebody else). A device that is still open (a guest's disk) is freed at its last close.
 */
export function detachLoopDevice({ number, backing }: Pick<LoopDevice, 'number' | 'backing'>): boolean {
  if (!existsSync(nodePath(number))) return false
  using device = openNode(number, constants.O_RDONLY)
  const current = readBacking(device)
  if (current?.device !== backing.device || current.inode !== backing.inode) return false
  try {
    ioctl(device.fd, LOOP_CLR_FD, 0, `free ${nodePath(number)}`)
  } catch (error) {
    if (isSystemError(error, 'ENXIO')) return false
    throw error
  }
  return true
}

/** What a file is to the kernel; undefined where it does not exist. */
export function backingFileOf(path: string): BackingFile | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stats === undefined ? undefined : { device: stats.dev, inode: stats.ino }
}

export interface ListedLoopDevice extends LoopDevice {
  /** The file's path as the kernel knows it, with ` (deleted)` at its end when it was unlinked. */
  readonly backingPath: string
}

/** All loop devices in use, ours and others', by number. */
export function listLoopDevices(): readonly ListedLoopDevice[] {
  const devices: ListedLoopDevice[] = []
  for (const name of readdirSync('/sys/block')) {
    const number = Number(/^loop(\d+)$/.exec(name)?.[1] ?? Number.NaN)
    if (Number.isNaN(number)) continue
    const backingPath = readBackingPath(number)
    if (backingPath === undefined || !existsSync(nodePath(number))) continue
    using device = openNode(number, constants.O_RDONLY)
    const backing = readBacking(device)
    if (backing === undefined) continue
    devices.push({ number, path: nodePath(number), major: LOOP_MAJOR, minor: number, backing, backingPath })
  }
  return devices.sort((left, right) => left.number - right.number)
}

function readBackingPath(number: number): string | undefined {
  try {
    return readFileSync(`/sys/block/loop${number}/loop/backing_file`, 'utf8').replace(/\n$/, '')
  } catch (error) {
    // The folder exists only while the device is in use.
    if (isSystemError(error, 'ENOENT', 'ENODEV', 'ENXIO')) return undefined
    throw error
  }
}

function nodePath(number: number): string {
  return `/dev/loop${number}`
}

function openControl(path: string): FileDescriptor {
  try {
    return openFile('/dev/loop-control', constants.O_RDWR)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT', 'ENODEV', 'ENXIO')) throw error
    throw new LoopDeviceError(
      'loop.no-driver',
      `Cannot make a loop device from "${path}": the kernel's loop driver is not loaded`,
      { hint: 'Run: modprobe loop', cause: error },
    )
  }
}

function openNode(number: number, flags: number): FileDescriptor {
  try {
    return openFile(nodePath(number), flags)
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error
    throw new LoopDeviceError('loop.no-node', `Cannot open ${nodePath(number)}: the node does not exist`, {
      hint: '/dev must be a devtmpfs, in which the kernel makes device nodes.',
      cause: error,
    })
  }
}

function readBacking(device: FileDescriptor): BackingFile | undefined {
  const status = allocateNativeMemory(loopInfo64.sizeBytes)
  try {
    ioctl(device.fd, LOOP_GET_STATUS64, status.address, 'ask what is behind a loop device')
  } catch (error) {
    if (isSystemError(error, 'ENXIO')) return undefined
    throw error
  }
  const info = loopInfo64.at(status.view)
  return { device: info.device, inode: info.inode }
}
