// Mounts a root image through the real kernel, which is its judge: user-space tools accept what the kernel does not.

import { mkdtemp, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '../commands.ts'

/** Mounts an image, gives its root to `use`, and unmounts it whatever happens. Needs root. */
export async function withMounted<Result>(
  image: string,
  use: (root: string) => Promise<Result> | Result,
  filesystem: 'squashfs' | 'erofs' = 'squashfs',
): Promise<Result> {
  const root = await mkdtemp(join(tmpdir(), 'mounted-'))
  try {
    await run('mount', '-t', filesystem, '-o', 'loop,ro', image, root)
    try {
      return await use(root)
    } finally {
      await run('umount', root)
    }
  } finally {
    await rmdir(root)
  }
}
