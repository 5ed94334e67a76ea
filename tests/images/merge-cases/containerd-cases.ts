// The cases of containerd's TestBreakouts, TestRelativeSymlinks, TestSymlinks, TestApplyTar and TestDiffTar
// (pkg/archive/tar_test.go), by their names: what a hostile or odd layer must not do, and what it must.

import {
  directory,
  file,
  hardlink,
  symlink,
  type TarMember,
} from '../../../core/oci/layer/testing/tar-writer.ts'
import type { ExpectedRefusal, MergeCase } from './merge-case.ts'

const inEtc: TarMember[] = [directory('etc', { mode: 0o770 }), file('/etc/passwd', 'inside')]
const baseEtc: TarMember[] = [directory('/etc/'), file('/etc/passwd', 'inside')]
const users: TarMember[] = [directory('/etc/'), file('/etc/passwd', 'all users')]
const whitedOut = [...users, file('/etc/whitedout', 'ahhhh whiteout')]

/** A whiteout of a directory itself or of what is above it: containerd refuses the archive too. */
const nothingHidden = (path: string): Pick<MergeCase, 'layers' | 'expected'> => ({
  layers: [baseEtc, [file(path)]],
  expected: {
    refused: /it is a whiteout of nothing/,
    because: 'containerd refuses it (errInvalidArchive); umoci would remove the directory that holds it',
  },
})

const notTheRoot: ExpectedRefusal = {
  refused: /the root can only be a directory/,
  because: 'umoci refuses it as malicious (CVE-2021-29136); containerd passes over the entry',
}

const breakouts: readonly MergeCase[] = [
  {
    name: 'SymlinkAbsolute',
    layers: [[directory('etc'), symlink('localetc', '/etc'), file('/localetc/unbroken', 'unbroken')]],
  },
  {
    name: 'SymlinkUpAndOut',
    layers: [
      [
        directory('etc'),
        directory('dummy'),
        symlink('localetc', '/dummy/../etc'),
        file('/localetc/unbroken', 'unbroken'),
      ],
    ],
  },
  {
    name: 'SymlinkMultipleAbsolute',
    layers: [
      [
        directory('etc'),
        directory('dummy'),
        symlink('/dummy/etc', '/etc'),
        symlink('localetc', '/dummy/etc'),
        file('/dummy/etc/unbroken', 'unbroken'),
      ],
    ],
  },
  {
    name: 'SymlinkMultipleRelative',
    layers: [
      [
        directory('etc'),
        directory('dummy'),
        symlink('/dummy/etc', '/etc'),
        symlink('localetc', './dummy/etc'),
        file('/dummy/etc/unbroken', 'unbroken'),
      ],
    ],
  },
  {
    name: 'SymlinkEmptyFile',
    layers: [
      [
        directory('etc'),
        file('etc/emptied', 'notempty'),
        symlink('localetc', '/etc'),
        file('/localetc/emptied'),
      ],
    ],
  },
  {
    name: 'HardlinkRelative',
    layers: [
      [
        ...inEtc,
        directory('breakouts'),
        symlink('breakouts/d1', '../../etc'),
        hardlink('breakouts/mypasswd', '/breakouts/d1/passwd'),
      ],
    ],
  },
  {
    name: 'HardlinkDownAndOut',
    layers: [
      [
        ...inEtc,
        directory('breakouts'),
        directory('downandout'),
        symlink('breakouts/d1', '../downandout/../../etc'),
        hardlink('breakouts/mypasswd', '/breakouts/d1/passwd'),
      ],
    ],
  },
  {
    name: 'HardlinkAbsolute',
    layers: [[...inEtc, symlink('localetc', '/etc'), hardlink('localpasswd', '/localetc/passwd')]],
  },
  {
    name: 'HardlinkRelativeLong',
    layers: [
      [
        ...inEtc,
        symlink('localetc', '../../../../../../../etc'),
        hardlink('localpasswd', '/localetc/passwd'),
      ],
    ],
  },
  {
    name: 'HardlinkRelativeUpAndOut',
    layers: [
      [...inEtc, symlink('localetc', 'upandout/../../../etc'), hardlink('localpasswd', '/localetc/passwd')],
    ],
  },
  {
    name: 'HardlinkDirectRelative',
    layers: [[...inEtc, hardlink('localpasswd', '../../../../../etc/passwd')]],
  },
  { name: 'HardlinkDirectAbsolute', layers: [[...inEtc, hardlink('localpasswd', '/etc/passwd')]] },
  {
    name: 'SymlinkParentDirectory',
    layers: [[...inEtc, symlink('..', '/etc/'), hardlink('localpasswd', '/etc/passwd')]],
    expected: notTheRoot,
  },
  {
    name: 'SymlinkEmptyFilename',
    layers: [[...inEtc, symlink('', '/etc/'), hardlink('localpasswd', '/etc/passwd')]],
    expected: { refused: /its path is empty/, because: notTheRoot.because },
  },
  {
    name: 'SymlinkParentRelative',
    layers: [
      [...inEtc, symlink('localetc/sub/..', '/etc/'), hardlink('/localetc/localpasswd', '/etc/passwd')],
    ],
  },
  {
    name: 'SymlinkSlashEnded',
    layers: [
      [...inEtc, directory('localetc/', { mode: 0o770 }), hardlink('/localetc/localpasswd', '/etc/passwd')],
    ],
  },
  {
    name: 'SymlinkOverrideDirectory',
    layers: [
      [...baseEtc, directory('/localetc/')],
      [symlink('localetc', '/etc'), hardlink('/localetc/localpasswd', '/etc/passwd')],
    ],
  },
  {
    name: 'SymlinkOverrideDirectoryRelative',
    layers: [
      [...baseEtc, directory('/localetc/')],
      [symlink('localetc', '../../etc'), hardlink('/localetc/localpasswd', '/etc/passwd')],
    ],
  },
  {
    name: 'DirectoryOverrideSymlink',
    layers: [
      [...baseEtc, symlink('localetc', '/etc')],
      [directory('/localetc/'), hardlink('/localetc/localpasswd', '/etc/passwd')],
    ],
  },
  {
    name: 'DirectoryOverrideSymlinkAndHardlink',
    layers: [
      [...baseEtc, symlink('localetc', 'etc'), hardlink('/localetc/localpasswd', '/etc/passwd')],
      [directory('/localetc/'), file('/localetc/localpasswd', 'different')],
    ],
  },
  { name: 'WhiteoutRootParent', ...nothingHidden('.wh...') },
  { name: 'WhiteoutParent', ...nothingHidden('etc/.wh...') },
  { name: 'WhiteoutRoot', ...nothingHidden('.wh..') },
  { name: 'WhiteoutCurrentDirectory', ...nothingHidden('etc/.wh..') },
  { name: 'WhiteoutSymlink', layers: [[...users, symlink('localetc', '/etc')], [file('.wh.localetc')]] },
  {
    name: 'WhiteoutSymlinkPath',
    layers: [[...whitedOut, symlink('localetc', '/etc')], [file('localetc/.wh.whitedout')]],
  },
  {
    name: 'WhiteoutDirectoryName',
    layers: [[...whitedOut, symlink('localetc', '/etc')], [file('.wh.etc/somefile', 'non-empty')]],
    expected: {
      refused: /it lies below a whiteout/,
      because:
        'names with the prefix .wh. are reserved (layer.md, "Whiteouts"); containerd and umoci make the directory',
    },
  },
  {
    name: 'WhiteoutDeadSymlinkParent',
    layers: [[...users, symlink('localetc', '/dne')], [file('localetc/.wh.etc')]],
  },
  {
    name: 'WhiteoutRelativePath',
    layers: [[...users, symlink('localetc', '/dne')], [file('dne/../.wh.etc')]],
  },
  {
    name: 'HardlinkSymlinkBeforeCreateTarget',
    layers: [
      [
        directory('etc', { mode: 0o770 }),
        symlink('localpasswd', '/etc/passwd'),
        hardlink('localpasswd-dup', 'localpasswd'),
        file('/etc/passwd', 'after'),
      ],
    ],
  },
  {
    name: 'HardlinkSymlinkRelative',
    layers: [
      [...inEtc, symlink('passwdlink', '../../../../../etc/passwd'), hardlink('localpasswd', '/passwdlink')],
    ],
  },
  {
    name: 'HardlinkSymlinkAbsolute',
    layers: [[...inEtc, symlink('passwdlink', '/etc/passwd'), hardlink('localpasswd', '/passwdlink')]],
  },
  {
    name: 'HardlinkSymlinkChmod',
    layers: [
      [
        directory('tmp'),
        symlink('/tmp/also-exists-outside-root', '/tmp/perm400'),
        hardlink('sketchylink', '/tmp/also-exists-outside-root', { mode: 0o777 }),
      ],
    ],
  },
]

const base: TarMember[] = [
  directory('/etc/'),
  file('/etc/hosts', 'mydomain 10.0.0.1'),
  symlink('/etc/other-hosts', '../etc/hosts'),
  file('/etc/passwd', 'root'),
  hardlink('/etc/passwd-link', '/etc/passwd'),
  directory('/usr/'),
  directory('/usr/local/'),
  directory('/usr/local/lib/'),
  file('/usr/local/lib/libnothing.so', '\0\0', { mode: 0o755 }),
  symlink('libnothing.so', '/usr/local/lib/libnothing.so.2'),
  directory('/home'),
  directory('/home/derek', { mode: 0o700 }),
]

const relativeLinks: readonly MergeCase[] = [
  ['up and elsewhere', '/home/derek/updown', 'up/../../other'],
  ['beyond the root', '/home/derek/breakout', '../../../breakout'],
  ['above the root from its top', '/breakout', '../../breakout'],
  ['down, up and out', '/breakout', 'etc/../../upandout'],
  ['through a home and out', '/home/breakout', 'derek/../../../downandout'],
  ['absolute', 'localetc', '/etc'],
].map(([name, path, target]): MergeCase => {
  return { name: `RelativeSymlinks ${name}`, layers: [[...base, symlink(path ?? '', target ?? '')]] }
})

const binary = (path: string) => file(path, '\0\0', { mode: 0o755 })

const changes: readonly MergeCase[] = [
  {
    name: 'Symlinks 1: a link is replaced by links to the same file',
    layers: [
      [directory('/bin/'), binary('/bin/superbinary'), symlink('/bin/other1', '../bin/superbinary')],
      [
        symlink('/bin/other1', '/bin/superbinary'),
        symlink('/bin/other2', '../bin/superbinary'),
        symlink('/bin/other3', 'superbinary'),
      ],
    ],
  },
  {
    name: 'Symlinks 2: links to links',
    layers: [
      [
        directory('/bin/'),
        directory('/sbin/'),
        binary('/sbin/superbinary'),
        symlink('/bin/superbinary', '/sbin/superbinary'),
        symlink('/bin/other1', '../bin/superbinary'),
      ],
      [symlink('/bin/other1', '/bin/superbinary'), symlink('/bin/other2', 'superbinary')],
    ],
  },
  {
    name: 'Symlinks 5: a directory replaces a link to a file',
    layers: [
      [directory('/bin/'), binary('/bin/actualbinary'), symlink('/bin/myapp', 'actualbinary')],
      [directory('/bin/myapp')],
    ],
  },
  {
    name: 'DirectoryCreation',
    layers: [
      [directory('/etc/')],
      [
        directory('/etc/subdir'),
        directory('/etc/subdir2/'),
        directory('/etc/subdir2/more'),
        directory('/other/noparent-1/1'),
        directory('/other/noparent-2/2/'),
      ],
    ],
  },
  {
    name: 'HardlinkParentInclusion',
    layers: [
      ['d1', 'd2', 'd3', 'd4', 'd5', 'd6']
        .map((path): TarMember => directory(path))
        .concat(
          ...['d1', 'd2', 'd4', 'd5'].map((path) => file(`${path}/f1`, 'link me')),
          hardlink('d6/l1', 'd1/f1'),
          hardlink('d6/l2', 'd5/f1'),
        ),
      [
        directory('d2/'),
        file('d2/l1', 'link me'),
        directory('d1/'),
        hardlink('d1/f1', 'd2/l1'),
        directory('d3/'),
        file('d3/l1', 'link me'),
        directory('d4/'),
        hardlink('d4/f1', 'd3/l1'),
        directory('d6/'),
        file('d6/.wh.l1'),
        file('d6/.wh.l2'),
      ],
    ],
  },
  {
    name: 'UpdateDirectoryPermission',
    layers: [
      [directory('d1/'), directory('d2/', { mode: 0o770 }), file('d1/kept', 'kept')],
      [directory('d1/', { mode: 0o777 }), directory('d1/d/', { mode: 0o700 }), file('d2/f', 'ok')],
    ],
  },
  {
    name: 'WhiteoutIncludesParents',
    layers: [
      ['d1', 'd2', 'd3', 'd4', 'd5']
        .flatMap((path): TarMember[] => [directory(path), file(`${path}/f1`, 'content')])
        .concat(file('d2/f2', 'content')),
      [
        directory('d1/'),
        file('d1/.wh.f1'),
        directory('d2/'),
        file('d2/.wh.f1'),
        file('d2/f2', 'content', { mode: 0o777 }),
        directory('d3/'),
        file('d3/.wh.f1'),
        file('d3/f2', 'content'),
        directory('d4/'),
        file('d4/f0', 'content'),
        file('d4/.wh.f1'),
        file('.wh.d5'),
      ],
    ],
  },
  {
    name: 'WhiteoutParentRemoval',
    layers: [
      [directory('d1/'), directory('d2/'), file('d2/f1', 'content')],
      [file('.wh.d1'), file('.wh.d2'), directory('d3/')],
    ],
  },
]

export const containerdCases: readonly MergeCase[] = [...breakouts, ...relativeLinks, ...changes]
