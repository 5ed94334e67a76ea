// Named cases of merging layers, out of the tests of those who have done it for long: built by us in both formats,
// mounted by the kernel, and compared entry by entry with what umoci unpacks, or with what is said here, and why.

import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type TarMember, tarOf } from '../../core/oci/layer/testing/tar-writer.ts'
import { buildFromFiles } from '../../core/oci/segments/testing/build-from-files.ts'
import { EROFS } from '../../core/oci/writers/erofs/erofs-format.ts'
import { squashfsFormat } from '../../core/oci/writers/squashfs/squashfs-format.ts'
import { run } from './commands.ts'
import { containerdCases } from './merge-cases/containerd-cases.ts'
import type { ExpectedTree, MergeCase } from './merge-cases/merge-case.ts'
import { imageSpecCases, mutateCases } from './merge-cases/other-cases.ts'
import { umociCases } from './merge-cases/umoci-cases.ts'
import { describeTree, differences } from './support/manifest.ts'
import { withMounted } from './support/mounted-image.ts'
import { type LayoutLayer, writeLayout } from './support/oci-layout.ts'

const formats = [squashfsFormat(), EROFS]

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'merge-case-'))
})
afterEach(() => rm(folder, { recursive: true }))

describe.each([
  ['containerd', containerdCases],
  ['umoci', umociCases],
  ['go-containerregistry', mutateCases],
  ['image-spec', imageSpecCases],
])('%s', (_, cases) => {
  test.each(cases.map((mergeCase) => [mergeCase.name, mergeCase] as const))(
    '%s',
    async (_name, mergeCase) => {
      const { layers, expected } = mergeCase
      const layout = join(folder, 'layout')
      const files = await writeLayout(layout, layers.map(tarOf))
      if (expected === undefined) {
        const theirs = withoutChosenTimes(await unpackWithUmoci(layout), layers)
        for (const view of await ourViews(files, describeTree))
          expect(differences(withoutChosenTimes(view, layers), theirs)).toEqual([])
      } else if ('refused' in expected) {
        const building = ourViews(files, describeTree)
        await expect(building).rejects.toMatchObject({ code: 'oci.corrupt-layer', message: expected.refused })
      } else {
        for (const tree of await ourViews(files, outline)) expect(tree).toEqual(expected.tree)
      }
    },
  )
})

/** What the kernel shows of our images, of each format. */
async function ourViews<View>(
  files: readonly LayoutLayer[],
  describe: (root: string) => View,
): Promise<View[]> {
  const views: View[] = []
  for (const format of formats) {
    const output = join(folder, `image.${format.name}`)
    await buildFromFiles({ layers: files, output, format })
    views.push(await withMounted(output, describe, format.name))
  }
  return views
}

async function unpackWithUmoci(layout: string): Promise<Map<string, string>> {
  const rootfs = join(folder, 'rootfs')
  await run('umoci', 'raw', 'unpack', '--image', `${layout}:latest`, rootfs)
  return describeTree(rootfs)
}

/** umoci gives directories that no layer names the time of the unpacking; we give them none. */
function withoutChosenTimes(view: Map<string, string>, layers: MergeCase['layers']): Map<string, string> {
  const named = new Set(
    layers
      .flat()
      .filter(isDirectory)
      .map(({ path }) => pathOf(path)),
  )
  return new Map(
    [...view].map(([path, line]) => {
      const isChosen = / directory /.test(line) && !named.has(path)
      return [path, isChosen ? line.replace(/time=-?\d+/, 'time=any') : line]
    }),
  )
}

const isDirectory = ({ flag }: TarMember) => flag === '5'

function pathOf(member: string): string {
  const names = member.split('/').filter((name) => name !== '' && name !== '.')
  return ['.', ...names].join('/')
}

function outline(root: string): ExpectedTree['tree'] {
  const tree: Record<string, string> = {}
  const visit = (path: string) => {
    for (const name of readdirSync(join(root, path)).sort()) {
      const child = join(path, name)
      const stats = lstatSync(join(root, child))
      if (stats.isDirectory()) tree[child] = 'directory'
      else if (stats.isSymbolicLink()) tree[child] = `-> ${readlinkSync(join(root, child))}`
      else tree[child] = stats.isFile() ? readFileSync(join(root, child), 'latin1') : 'other'
      if (stats.isDirectory()) visit(child)
    }
  }
  visit('')
  return tree
}
