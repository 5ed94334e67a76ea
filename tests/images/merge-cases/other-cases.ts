// The cases of go-containerregistry's mutate.Extract tests (pkg/v1/mutate/mutate_test.go), and what image-spec's layer.md
// says in its own examples.

import {
  directory,
  file,
  hardlink,
  symlink,
  type TarMember,
} from '../../../core/oci/layer/testing/tar-writer.ts'
import type { MergeCase } from './merge-case.ts'

const roundTrip: TarMember[] = [
  directory('app/'),
  directory('app/bin/'),
  directory('app/lib/'),
  directory('app/node_modules/'),
  directory('app/node_modules/.bin/'),
  directory('restricted/', { mode: 0o700 }),
  file('app/main.js', "console.log('hello')\n"),
  file('app/bin/run.sh', '#!/bin/sh\n\n', { mode: 0o755 }),
  file('restricted/secret.key', 'secret\n', { mode: 0o600 }),
  symlink('app/node_modules/.bin/acorn', '../acorn/bin/acorn'),
  symlink('app/node_modules/.bin/eslint', '../eslint/bin/eslint.js'),
  symlink('app/link-to-main', '/app/main.js'),
  symlink('app/modules', 'node_modules'),
  hardlink('app/main-hardlink.js', 'app/main.js'),
]

export const mutateCases: readonly MergeCase[] = [
  { name: 'ExtractWhiteout', layers: [[file('foo', 'x'), file('bar', 'x')], [file('.wh.foo')]] },
  {
    name: 'ExtractWhiteoutDir',
    layers: [[directory('foo'), file('foo/bar', 'x'), file('kept', 'x')], [file('.wh.foo')]],
  },
  {
    name: 'ExtractOpaqueWhiteout',
    layers: [
      [directory('dir'), file('dir/lower', 'x')],
      [directory('dir', { mtime: 1 }), file('dir/.wh..wh..opq'), file('dir/upper', 'y')],
    ],
  },
  { name: 'ExtractOverwrittenFile', layers: [[file('foo.txt', 'foo')], [file('foo.txt', 'bar')]] },
  { name: 'ExtractRoundTrip', layers: [roundTrip] },
  {
    name: 'ExtractRewritesHardlinkTargetOverwrittenByNewerLayer',
    layers: [[file('t2', '123\n')], [hardlink('t1', 't2'), hardlink('t3', 't1')], [file('t1', '456\n')]],
  },
  {
    name: 'ExtractSymlinkFiltering: links that lead out stay as they are',
    layers: [
      [symlink('out', '../../../etc/passwd'), symlink('absolute', '/etc/passwd'), symlink('loop', 'loop')],
    ],
  },
  {
    name: 'ExtractRejectsUnsafeArchivePaths: they are read as below the root',
    layers: [[file('../escaped', 'x'), file('a/../../up', 'y'), file('/absolute', 'z')]],
  },
  {
    name: 'ExtractWhiteout and re-add in one layer, whiteout first',
    layers: [[file('f', 'old')], [file('.wh.f'), file('f', 'new')]],
  },
  {
    name: 'ExtractWhiteout and re-add in one layer, whiteout last',
    layers: [[file('f', 'old')], [file('f', 'new'), file('.wh.f')]],
    expected: {
      tree: { f: 'new' },
      because:
        'whiteouts apply to lower layers only (layer.md); umoci 0.4 removes what the layer itself has made',
    },
  },
]

export const imageSpecCases: readonly MergeCase[] = [
  {
    name: 'layer.md, "Apply Changesets": the example of a modified root',
    layers: [
      [
        directory('./'),
        directory('./etc/'),
        file('./etc/my-app-config', 'v1'),
        directory('./bin/'),
        file('./bin/my-app-binary', 'v1'),
        file('./bin/my-app-tools', 'v1'),
      ],
      [
        directory('./etc/my-app.d/'),
        file('./etc/my-app.d/default.cfg', 'x'),
        file('./bin/my-app-tools', 'v2'),
        file('./etc/.wh.my-app-config'),
      ],
    ],
  },
  {
    name: 'layer.md, "Opaque Whiteout": all siblings of the lower layer are hidden',
    layers: [
      [directory('a'), directory('a/b'), directory('a/b/c'), file('a/b/c/bar', 'lower')],
      [
        directory('a', { mtime: 1 }),
        file('a/.wh..wh..opq'),
        directory('a/b'),
        directory('a/b/c'),
        file('a/b/c/foo', 'upper'),
      ],
    ],
  },
  {
    name: 'layer.md, "Opaque Whiteout": the same with explicit whiteouts',
    layers: [
      [directory('a'), directory('a/b'), directory('a/b/c'), file('a/b/c/bar', 'lower')],
      [directory('a'), file('a/.wh.b'), directory('a/b'), directory('a/b/c'), file('a/b/c/foo', 'upper')],
    ],
  },
  {
    name: 'layer.md: an opaque mark in the root',
    layers: [
      [directory('./'), file('lower', 'x'), directory('d'), file('d/lower', 'x')],
      [file('.wh..wh..opq'), file('upper', 'y')],
    ],
  },
  {
    name: 'layer.md: an opaque mark after its siblings',
    layers: [
      [directory('d'), file('d/lower', 'x')],
      [
        directory('d', { mtime: 1 }),
        file('d/upper', 'y'),
        directory('d/e'),
        file('d/e/f', 'z'),
        file('d/.wh..wh..opq'),
      ],
    ],
  },
  {
    name: 'layer.md: a whiteout before and after the directory that takes the place',
    layers: [
      [directory('d'), file('d/old', 'x')],
      [file('.wh.d'), directory('d', { mode: 0o700 }), file('d/new', 'y')],
    ],
  },
  {
    name: 'layer.md: ".wh." alone',
    layers: [[file('f', 'x')], [file('.wh.')]],
    expected: {
      refused: /whiteout of nothing/,
      because: 'it names nothing; umoci would remove the directory',
    },
  },
  {
    name: 'layer.md: an entry that comes twice in a layer',
    layers: [[file('f', 'first'), file('f', 'second', { mode: 0o600 })]],
  },
  {
    name: 'layer.md: a directory over a directory keeps what is in it and takes the attributes',
    layers: [
      [directory('d', { mode: 0o700, uid: 5, xattrs: { 'user.lower': 'x' } }), file('d/kept', 'x')],
      [directory('d', { mode: 0o755, gid: 6, mtime: 99 })],
    ],
  },
  {
    name: 'layer.md: a hard link to a file of a lower layer takes part in its life',
    layers: [[file('a', 'content', { uid: 1 })], [hardlink('b', 'a')], [file('.wh.a')]],
  },
  {
    name: 'layer.md: a hard link whose target is hidden in the same layer',
    layers: [[file('a', 'content')], [hardlink('b', 'a'), file('.wh.a')]],
    expected: {
      refused: /the hard link's target "a" does not exist/,
      because: 'whiteouts of a layer come before its entries, so the target is gone; no builder writes this',
    },
  },
  {
    name: 'layer.md: symbolic links have no mode of their own',
    layers: [[symlink('l', 'x', { mode: 0o600, uid: 9, gid: 8, mtime: 77 })]],
  },
]
