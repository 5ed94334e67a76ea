import { expect, test } from 'vitest'
import { parseTar } from '../layer/testing/parse-tar.ts'
import { directory, file, hardlink, symlink, type TarMember, tarOf } from '../layer/testing/tar-writer.ts'
import { ShadowedPaths } from './shadowed-paths.ts'

const hides = (upper: readonly TarMember[], path: string): boolean => {
  const shadowed = new ShadowedPaths()
  shadowed.add(parseTar(tarOf(upper)))
  return shadowed.hides(path)
}

test.each<[string, TarMember[], string, boolean]>([
  ['nothing above', [], 'a', false],
  ['the same path', [file('./a')], 'a', true],
  ['the same path, as a directory', [directory('a')], '/a', true],
  ['a directory above a file in it', [directory('d')], 'd/a', false],
  ['a file in place of a directory', [file('d')], 'd/sub/a', true],
  ['a link in place of a directory', [symlink('d', 'e')], 'd/a', true],
  ['a whiteout', [file('d/.wh.a')], 'd/a', true],
  ['a whiteout of a directory above', [file('.wh.d')], 'd/sub/a', true],
  ['a whiteout of something else', [file('d/.wh.ab')], 'd/a', false],
  ['an opaque directory above', [file('d/.wh..wh..opq')], 'd/sub/a', true],
  ['an opaque directory of the same name', [file('d/.wh..wh..opq')], 'd', false],
  ['an opaque root', [file('.wh..wh..opq')], 'a', true],
  ['a hard link that keeps the content alive', [hardlink('b', 'a'), file('.wh.a')], 'a', false],
])('%s', (_, upper, path, expected) => {
  expect(hides(upper, path)).toBe(expected)
})
