// Random stacks of layers, larger than those of the images suite and always others, in both formats against umoci.
// BULKHEAD_STACK_ROUNDS says how many (200 if it does not), BULKHEAD_STACK_SEED brings one back.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { tarOf } from '../../core/oci/layer/testing/tar-writer.ts'
import { buildFromFiles } from '../../core/oci/segments/testing/build-from-files.ts'
import { EROFS } from '../../core/oci/writers/erofs/erofs-format.ts'
import { squashfsFormat } from '../../core/oci/writers/squashfs/squashfs-format.ts'
import { run } from '../images/commands.ts'
import { describeTree, differences } from '../images/support/manifest.ts'
import { withMounted } from '../images/support/mounted-image.ts'
import { writeLayout } from '../images/support/oci-layout.ts'
import { randomStack } from '../images/support/random-stack.ts'

const rounds = Number(process.env.BULKHEAD_STACK_ROUNDS ?? 200)
const firstSeed = Number(process.env.BULKHEAD_STACK_SEED ?? Date.now() % 2 ** 31)

test(`${rounds} random stacks from seed ${firstSeed} are what umoci makes of them`, {
  timeout: 7_200_000,
}, async () => {
  const formats = [squashfsFormat(), EROFS]
  for (let seed = firstSeed; seed < firstSeed + rounds; seed++) {
    const folder = await mkdtemp(join(tmpdir(), 'random-stack-'))
    try {
      const layers = await writeLayout(join(folder, 'layout'), randomStack(seed, 5, 20).map(tarOf))
      const rootfs = join(folder, 'rootfs')
      await run('umoci', 'raw', 'unpack', '--image', `${join(folder, 'layout')}:latest`, rootfs)
      const theirs = describeTree(rootfs)
      for (const format of formats) {
        const output = join(folder, `image.${format.name}`)
        await buildFromFiles({ layers, output, format })
        const ours = await withMounted(output, describeTree, format.name)
        expect(differences(ours, theirs), `seed ${seed}, ${format.name}`).toEqual([])
      }
    } finally {
      await rm(folder, { recursive: true })
    }
  }
})
