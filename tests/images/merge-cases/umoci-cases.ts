// The cases of umoci's layer tests (oci/layer/*_test.go) and of its bats suite (unpack, repack, insert, hardening), by
// their names.

import {
  directory,
  file,
  hardlink,
  symlink,
  type TarMember,
} from '../../../core/oci/layer/testing/tar-writer.ts'
import type { MergeCase } from './merge-case.ts'

const prefixes = [
  ['RootPrefix', '/'],
  ['GarbagePrefix1', '/../'],
  ['GarbagePrefix2', '/../../../../../../../../../../../../../../../'],
  ['GarbagePrefix3', '/./.././.././.././.././.././.././.././.././../'],
  ['DotDotPrefix', '..'],
] as const

const scoping: readonly MergeCase[] = [
  ...prefixes.map(([name, prefix]): MergeCase => {
    return {
      name: `UnpackEntrySanitiseScoping ${name}`,
      layers: [[file(`${prefix}/file`, 'container content')]],
    }
  }),
  ...prefixes.map(([name, prefix]): MergeCase => {
    const layer = [symlink('link', prefix), file('link/file', 'container content')]
    return { name: `UnpackEntrySymlinkScoping ${name}`, layers: [layer] }
  }),
]

const hidden = [
  ['FileInRoot', 'rootpath', false],
  ['HiddenFileInRoot', '.hiddenroot', false],
  ['FileInSubdir', 'some/path/file', false],
  ['HiddenFileInSubdir', 'another/path/.hiddenfile', false],
  ['DirInRoot', 'rootpath', true],
  ['HiddenDirInRoot', '.hiddenroot', true],
  ['DirInSubdir', 'some/path/dir', true],
  ['HiddenDirInSubdir', 'another/path/.hiddendir', true],
] as const

/** The directories above a path, named, with a time of their own that a whiteout must not change. */
function parentsOf(path: string): TarMember[] {
  const names = path.split('/').slice(0, -1)
  return names.map((_, depth) => directory(names.slice(0, depth + 1).join('/'), { mtime: 123 }))
}

const whiteouts = hidden.map(([name, path, isDirectory]): MergeCase => {
  const content = [
    directory(path),
    file(`${path}/file1`, 'some value'),
    directory(`${path}/.subdir`),
    file(`${path}/.subdir/file3`, 'some value'),
  ]
  const marker = path.replace(/[^/]*$/, (last) => `.wh.${last}`)
  const lower = isDirectory ? content : [file(path, 'some value')]
  return {
    name: `UnpackEntryWhiteout ${name}`,
    layers: [[directory('./', { mtime: 456 }), ...parentsOf(path), ...lower], [file(marker)]],
  }
})

/** In whatever order an opaque mark comes, it hides the same: what lower layers made. */
const opaque = [0, 1, 2, 3].map((position): MergeCase => {
  const upper = [file('dir/above', 'upper'), directory('dir/own'), file('dir/own/file', 'upper')]
  upper.splice(position, 0, file('dir/.wh..wh..opq'))
  const lower = [file('dir/fileindir', 'lower'), directory('dir/own'), file('dir/own/old', 'x')]
  const mergeCase: MergeCase = {
    name: `OpaqueWhiteout as entry ${position + 1} of 4`,
    layers: [
      [directory('dir', { mtime: 7 }), ...lower],
      [directory('dir', { mtime: 8 }), ...upper],
    ],
  }
  if (position < 2) return mergeCase
  const tree = { dir: 'directory', 'dir/above': 'upper', 'dir/own': 'directory', 'dir/own/file': 'upper' }
  const because =
    'umoci finds the same, but leaves the time of the removal on directories that were there before'
  return { ...mergeCase, expected: { tree, because } }
})

const insertOpaque: MergeCase = {
  name: 'insert --opaque',
  layers: [
    [directory('etc'), file('etc/passwd', 'old'), directory('etc/deep'), file('etc/deep/old', 'old')],
    [directory('etc', { mtime: 2 }), file('etc/.wh..wh..opq')],
    [file('etc/new', 'new')],
  ],
}

const links: readonly MergeCase[] = [
  {
    name: 'UnpackHardlink',
    layers: [
      [
        file('regular', 'content', { uid: 1, gid: 2 }),
        hardlink('hard link', '/regular', { uid: 1337, gid: 2020 }),
        symlink('link', '../../../regular', { uid: 3, gid: 4 }),
        hardlink('hard link to symlink', '../../../link', { uid: 1337, gid: 2020 }),
      ],
    ],
  },
  {
    name: 'IsDirlink: a directory replaces a link to a directory',
    layers: [
      [directory('real'), file('real/file', 'x'), symlink('link', 'real')],
      [directory('link'), file('link/other', 'y')],
    ],
  },
  {
    name: 'IsDirlink: a file below a link to a directory goes where the link leads',
    layers: [[directory('real'), file('real/file', 'x'), symlink('link', 'real')], [file('link/other', 'y')]],
  },
  {
    name: 'repack hardlink: a link to a file of a lower layer, and a new file in its place',
    layers: [
      [file('small_file', 'content', { mode: 0o755 })],
      [hardlink('link_hard', 'small_file'), directory('tmp'), hardlink('tmp/link_hard', '/small_file')],
      [file('small_file', 'another')],
      [file('link_hard', 'third')],
    ],
  },
]

const kinds: readonly MergeCase[] = [
  { name: 'UnpackEntryParentDir', layers: [[file('a/b/c/file', 'creating parentdirs')]] },
  {
    name: 'UnpackEntryNonDirParent',
    layers: [[file('parent', 'a file'), file('parent/child', 'x')]],
    expected: {
      refused: /"parent" on the way to it is not a directory/,
      because: 'newer umoci and containerd refuse it, older umoci fails with ENOTDIR',
    },
  },
  {
    name: 'UnpackEntryNonDirParent across layers: a file where a directory was, and what was below it',
    layers: [[directory('parent'), file('parent/child', 'x')], [file('parent', 'a file')]],
  },
  {
    name: 'unpack [setuid]',
    layers: [
      [
        file('suid', 'x', { mode: 0o4755 }),
        file('sgid', 'x', { mode: 0o2711 }),
        directory('tmp', { mode: 0o1777 }),
      ],
    ],
  },
  {
    name: 'unpack [setuid]: bits survive owners',
    layers: [[file('suid', 'x', { mode: 0o6755, uid: 1000, gid: 1000 })]],
  },
  {
    name: 'unpack [setcap]',
    layers: [
      [
        file('ping', 'x', {
          uid: 1000,
          xattrs: { 'security.capability': Buffer.from('0100000200200000000000000000000000000000', 'hex') },
        }),
      ],
    ],
  },
  {
    name: 'unpack [mknod]',
    layers: [
      [
        directory('devices'),
        { path: 'devices/block', flag: '4', major: 8, minor: 125, mode: 0o600 },
        { path: 'devices/char', flag: '3', major: 51, minor: 213, mode: 0o666 },
        { path: 'devices/fifo', flag: '6', mode: 0o640, uid: 7 },
        { path: 'devices/wide', flag: '3', major: 300, minor: 70_000, mode: 0o666 },
      ],
    ],
  },
  {
    name: 'repack [replace]: every kind over every other',
    layers: [
      [
        directory('dir'),
        file('dir/child', 'x'),
        directory('dir2'),
        file('dir2/child', 'x'),
        file('file', 'x'),
        file('file2', 'x'),
        symlink('link', 'file'),
        symlink('link2', 'dir'),
        { path: 'fifo', flag: '6' },
        { path: 'device', flag: '3', major: 1, minor: 3 },
      ],
      [
        file('dir', 'now a file'),
        symlink('dir2', 'file'),
        directory('file'),
        symlink('file2', 'nowhere'),
        file('link', 'now a file'),
        { path: 'link2', flag: '6' },
        directory('fifo'),
        file('device', 'now a file'),
      ],
    ],
  },
  {
    name: 'repack [xattrs]: the upper layer says all of them',
    layers: [
      [
        file('file', 'x', { xattrs: { 'user.some.value': 'supermeme', 'user.other': 'x' } }),
        directory('dir', { xattrs: { 'user.on-dir': 'lower' } }),
      ],
      [
        file('file', 'x', { xattrs: { 'user.new': 'y' } }),
        directory('dir', { xattrs: { 'trusted.on-dir': 'upper' } }),
      ],
    ],
  },
  {
    name: 'repack [unicode]',
    layers: [
      [
        file(Buffer.from('uniçødæ', 'utf8').toString('latin1'), 'content'),
        directory(Buffer.from('日本語', 'utf8').toString('latin1')),
        symlink(
          Buffer.from('日本語/リンク', 'utf8').toString('latin1'),
          Buffer.from('../uniçødæ').toString('latin1'),
        ),
        file('not-utf8-\xff\xfe\x80', 'x'),
      ],
    ],
  },
  {
    name: 'repack [whiteout]: a directory, a file, a link and what it leads to',
    layers: [
      [
        directory('etc'),
        file('etc/passwd', 'x'),
        directory('usr'),
        directory('usr/bin'),
        file('usr/bin/sh', 'x'),
        symlink('bin', 'usr/bin'),
      ],
      [file('etc/.wh.passwd'), file('.wh.bin'), file('usr/.wh.bin')],
    ],
  },
  {
    name: 'hardening: a whiteout of what is not there',
    layers: [[file('kept', 'x')], [file('.wh.nothing'), file('no/such/.wh.thing')]],
    expected: {
      tree: { kept: 'x' },
      because: 'a whiteout makes nothing, not even the directory that it stands in; umoci makes "no/such"',
    },
  },
]

export const umociCases: readonly MergeCase[] = [
  ...scoping,
  ...whiteouts,
  ...opaque,
  insertOpaque,
  ...links,
  ...kinds,
]
