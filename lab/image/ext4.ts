// Makes a file system out of a folder without being root, which mke2fs can.

import { runTool } from '../run-tool.ts'

/** Writes a raw ext4 image of `sizeMiB` with the content of `folder`; for disks that are only read. */
export async function makeExt4FromFolder(folder: string, image: string, sizeMiB: number): Promise<void> {
  await runTool([
    ...(['mke2fs', '-q', '-F', '-t', 'ext4', '-d', folder] as const),
    ...['-O', '^has_journal', '-E', 'root_owner=0:0', '-m', '0', image, `${sizeMiB}M`],
  ])
}
