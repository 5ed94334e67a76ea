// Takes the uncompressed kernel out of a bzImage, so that neither Xen nor a guest spends seconds on unpacking it.
// Layout: Linux Documentation/x86/boot.rst, "The Real-Mode Kernel Header".

import { LabError } from '../errors.ts'
import { runTool } from '../run-tool.ts'

const setupSectorCountAt = 0x1f1
const headerMagicAt = 0x202
const payloadOffsetAt = 0x248
const payloadLengthAt = 0x24c

/** The ELF file inside `bzImage`; the payload has to be xz, as Debian's is. Rejects with `lab.kernel`. */
export async function extractVmlinux(bzImage: Buffer): Promise<Buffer> {
  if (bzImage.length < 0x1000 || bzImage.toString('latin1', headerMagicAt, headerMagicAt + 4) !== 'HdrS') {
    throw new LabError('lab.kernel', 'Cannot unpack the kernel of the lab: it is not a bzImage')
  }
  const setupSectors = bzImage.readUInt8(setupSectorCountAt) || 4
  const start = (setupSectors + 1) * 512 + bzImage.readUInt32LE(payloadOffsetAt)
  const length = bzImage.readUInt32LE(payloadLengthAt)
  // The last four bytes are the unpacked size, which is not part of the xz stream.
  const payload = bzImage.subarray(start, start + length - 4)
  const kernel = await runTool(['xz', '-dc', '--single-stream'], { stdin: payload })
  if (kernel.toString('latin1', 0, 4) !== '\x7fELF') {
    throw new LabError('lab.kernel', 'Cannot unpack the kernel of the lab: its payload is not an ELF file')
  }
  return kernel
}
