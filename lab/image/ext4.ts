// Makes a file system out of a folder without being root, which mke2fs can.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { runTool } from '../run-tool.ts'

/** Writes a raw ext4 image of `sizeMiB` with the content of `folder`, owned by root; for disks that are only read. */
export async function makeExt4FromFolder(folder: string, image: string, sizeMiB: number): Promise<void> {
  await runTool([
    ...(['mke2fs', '-q', '-F', '-t', 'ext4', '-d', folder] as const),
    ...['-O', '^has_journal', '-E', 'root_owner=0:0', '-m', '0', image, `${sizeMiB}M`],
  ])
  if (process.getuid?.() !== 0 || process.getgid?.() !== 0) await giveToRoot(folder, image)
}

/** mke2fs takes the owners of the files over; a set-uid program of anybody but root would be of no use. */
async function giveToRoot(folder: string, image: string): Promise<void> {
  const commands: string[] = []
  const visit = (path: string) => {
    for (const entry of readdirSync(join(folder, path), { withFileTypes: true })) {
      const child = `${path}/${entry.name}`
      const quoted = `"${child.replaceAll('"', '""')}"`
      commands.push(`set_inode_field ${quoted} uid 0`, `set_inode_field ${quoted} gid 0`)
      if (entry.isDirectory()) visit(child)
    }
  }
  visit('')
  await runTool(['debugfs', '-w', '-f', '-', image], { stdin: Buffer.from(`${commands.join('\n')}\n`) })
}
