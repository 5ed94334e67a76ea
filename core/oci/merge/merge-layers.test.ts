import { describe, expect, test } from 'vitest'
import type { LayerIndex } from '../layer/read-layer.ts'
import { parseTar } from '../layer/testing/parse-tar.ts'
import { directory, file, hardlink, symlink, type TarMember, tarOf } from '../layer/testing/tar-writer.ts'
import { mergeLayers } from './merge-layers.ts'
import type { DirectoryNode, TreeNode } from './tree.ts'

type Layer = readonly TarMember[]

function indexOf(layer: Layer, position: number): LayerIndex {
  return { name: `layer ${position + 1}`, entries: parseTar(tarOf(layer)), tarBytes: 0 }
}

function merge(...layers: Layer[]): DirectoryNode {
  return mergeLayers(layers.map(indexOf))
}

/** The tree as one line per path: directories end in "/", files say which layer and entry they come from. */
function listing(root: DirectoryNode): string[] {
  const lines: string[] = []
  const visit = (directory: DirectoryNode, path: string): void => {
    for (const [name, node] of [...directory.children].sort(([one], [other]) => (one < other ? -1 : 1))) {
      lines.push(`${path}${name}${suffix(node)}`)
      if (node.kind === 'directory') visit(node, `${path}${name}/`)
    }
  }
  visit(root, '')
  return lines
}

function suffix(node: TreeNode): string {
  switch (node.kind) {
    case 'directory':
      return '/'
    case 'file':
      return `=${node.layer + 1}`
    case 'symlink':
      return ` -> ${node.target}`
    default:
      return ` ${node.kind}`
  }
}

function find(root: DirectoryNode, path: string): TreeNode {
  let node: TreeNode = root
  for (const name of path.split('/')) {
    const child: TreeNode | undefined = node.kind === 'directory' ? node.children.get(name) : undefined
    if (child === undefined) throw new Error(`${path} does not exist`)
    node = child
  }
  return node
}

const base: Layer = [
  directory('./'),
  directory('d'),
  file('d/a'),
  file('d/b'),
  directory('d/sub'),
  file('d/sub/x'),
  file('top'),
]

describe('whiteouts', () => {
  test.each<[string, Layer[], string[]]>([
    ['hide a file', [base, [file('d/.wh.a')]], ['d/', 'd/b=1', 'd/sub/', 'd/sub/x=1', 'top=1']],
    ['hide a directory with all below it', [base, [file('.wh.d')]], ['top=1']],
    ['of something absent do nothing', [base, [file('.wh.no'), file('no/.wh.x')]], listing(merge(base))],
    [
      'let a later layer add again',
      [base, [file('.wh.top')], [file('top')]],
      [...listing(merge(base)).slice(0, -1), 'top=3'],
    ],
    [
      'do not hide what their own layer adds before them',
      [base, [directory('d'), file('d/new'), file('.wh.d')]],
      ['d/', 'd/new=2', 'top=1'],
    ],
    [
      'do not hide what their own layer adds after them',
      [base, [file('.wh.d'), directory('d'), file('d/new')]],
      ['d/', 'd/new=2', 'top=1'],
    ],
    ['replace a directory by a file in one layer', [base, [file('.wh.d'), file('d')]], ['d=2', 'top=1']],
    [
      'hide a symbolic link, not its target',
      [[directory('r'), file('r/x'), symlink('s', 'r')], [file('.wh.s')]],
      ['r/', 'r/x=1'],
    ],
    [
      'are found through a symbolic link of a lower layer',
      [[directory('r'), file('r/x'), file('r/y'), symlink('s', '/r')], [file('s/.wh.x')]],
      ['r/', 'r/y=1', 's -> /r'],
    ],
    [
      'behind a dangling link do nothing',
      [[symlink('s', 'no'), file('x')], [file('s/.wh.x')]],
      ['s -> no', 'x=1'],
    ],
    [
      'behind a looping link do nothing',
      [[symlink('s', 's'), file('x')], [file('s/.wh.x')]],
      ['s -> s', 'x=1'],
    ],
    [
      'behind a link that their layer replaces do nothing',
      [
        [directory('r'), file('r/x'), symlink('s', 'r')],
        [directory('s'), file('s/.wh.x'), file('s/y')],
      ],
      ['r/', 'r/x=1', 's/', 's/y=2'],
    ],
    [
      'behind a link that their layer hides do nothing',
      [
        [directory('r'), file('r/x'), symlink('s', 'r')],
        [file('s/.wh.x'), file('.wh.s'), file('s/y')],
      ],
      ['r/', 'r/x=1', 's/', 's/y=2'],
    ],
    ['in the lowest layer do nothing', [[file('.wh.a'), file('b')]], ['b=1']],
    [
      'may be written with any path',
      [base, [file('./d/../d//.wh.a')]],
      ['d/', 'd/b=1', 'd/sub/', 'd/sub/x=1', 'top=1'],
    ],
    [
      'of AUFS itself are dropped',
      [base, [directory('.wh..wh.plnk'), file('.wh..wh.plnk/1.2'), file('.wh..wh.aufs')]],
      listing(merge(base)),
    ],
    ['may have a name that begins like one', [[file('.whx'), file('.wh')]], ['.wh=1', '.whx=1']],
  ])('%s', (_, layers, expected) => {
    expect(listing(merge(...layers))).toEqual(expected)
  })

  test.each(['.wh.', '.wh..', '.wh...', 'd/.wh..', 'd/.wh...', '.wh.x/y'])('%s is refused', (path) => {
    expect(() => merge(base, [file(path)])).toThrow(`Cannot merge layer 2, entry "${path}"`)
  })
})

describe('opaque directories', () => {
  const opaque = file('d/.wh..wh..opq')
  test.each<[string, Layer[], string[]]>([
    [
      'hide what lower layers put into them',
      [base, [directory('d'), opaque, file('d/n')]],
      ['d/', 'd/n=2', 'top=1'],
    ],
    [
      'do so when the mark comes last',
      [base, [directory('d'), file('d/n'), file('d/b'), opaque]],
      ['d/', 'd/b=2', 'd/n=2', 'top=1'],
    ],
    [
      'do so when the mark comes first',
      [base, [opaque, directory('d/sub'), file('d/sub/y')]],
      ['d/', 'd/sub/', 'd/sub/y=2', 'top=1'],
    ],
    ['do not hide later layers', [base, [opaque], [file('d/z')]], ['d/', 'd/z=3', 'top=1']],
    ['can be the root', [base, [file('.wh..wh..opq'), file('n')]], ['n=2']],
    ['that do not exist below do nothing', [[file('x')], [directory('d'), opaque]], ['d/', 'x=1']],
    ['over a file below hide the file by being there', [[file('d')], [directory('d'), opaque]], ['d/']],
    [
      'over a symbolic link below leave the target alone',
      [
        [directory('r'), file('r/x'), symlink('d', 'r')],
        [opaque, directory('d'), file('d/n')],
      ],
      ['d/', 'd/n=2', 'r/', 'r/x=1'],
    ],
    [
      'are found through a symbolic link of a lower layer',
      [[directory('r'), file('r/x'), symlink('d', 'r')], [opaque]],
      ['d -> r', 'r/'],
    ],
  ])('%s', (_, layers, expected) => {
    expect(listing(merge(...layers))).toEqual(expected)
  })
})

describe('entries over entries', () => {
  test('a directory over a directory keeps the children and takes the attributes', () => {
    const root = merge(base, [directory('d', { mode: 0o700, uid: 5, mtime: 9, xattrs: { 'user.a': 'b' } })])
    expect(find(root, 'd')).toMatchObject({ mode: 0o700, uid: 5, mtimeSeconds: 9 })
    expect(listing(root)).toEqual(listing(merge(base)))
  })

  test('the root takes its attributes from its entry', () => {
    expect(merge([directory('./', { mode: 0o1777, gid: 3 })], [file('x')])).toMatchObject({
      mode: 0o1777,
      gid: 3,
    })
  })

  test.each<[string, TarMember, string[]]>([
    ['a file', file('d'), ['d=2', 'top=1']],
    ['a symbolic link', symlink('d', 'top'), ['d -> top', 'top=1']],
    ['a device', { path: 'd', flag: '3', major: 1, minor: 3 }, ['d character-device', 'top=1']],
    ['a fifo', { path: 'd', flag: '6' }, ['d fifo', 'top=1']],
    ['a hard link', hardlink('d', 'top'), ['d=1', 'top=1']],
  ])('%s replaces a directory with all below it', (_, member, expected) => {
    expect(listing(merge(base, [member]))).toEqual(expected)
  })

  test('a directory replaces a file, and a symbolic link to a directory', () => {
    expect(
      listing(merge([file('x'), directory('r'), symlink('s', 'r')], [directory('x'), directory('s')])),
    ).toEqual(['r/', 's/', 'x/'])
  })

  test('of two entries for one path in one layer the last one counts', () => {
    const root = merge([file('x', 'one'), file('x', 'two!')])
    expect(find(root, 'x')).toMatchObject({ sizeBytes: 4, ordinal: 1 })
  })

  test('attributes of overlayfs are stripped, others stay', () => {
    const xattrs = { 'trusted.overlay.opaque': 'y', 'trusted.overlay.origin': 'z' }
    const root = merge([directory('d', { xattrs: { ...xattrs, 'user.a': 'b' } }), directory('e', { xattrs })])
    expect([...(find(root, 'd').xattrs ?? [])]).toEqual([['user.a', Buffer.from('b')]])
    expect(find(root, 'e').xattrs).toBeNull()
  })

  test('the files of eStargz are dropped from the root, and only there', () => {
    const landmarks = ['stargz.index.json', '.prefetch.landmark', '.no.prefetch.landmark']
    expect(listing(merge([...landmarks.map((name) => file(name)), file('d/stargz.index.json')]))).toEqual([
      'd/',
      'd/stargz.index.json=1',
    ])
  })
})

describe('paths', () => {
  test.each([
    ['./a/b', 'a/b'],
    ['/a/b', 'a/b'],
    ['a//b/', 'a/b'],
    ['../../a/b', 'a/b'],
    ['a/x/../b', 'a/b'],
    ['a/../../a/b', 'a/b'],
  ])('%s is %s', (path, expected) => {
    expect(find(merge([file(path)]), expected).kind).toBe('file')
  })

  test('missing parents are made as root would make them', () => {
    expect(find(merge([file('a/b/c')]), 'a/b')).toMatchObject({
      kind: 'directory',
      mode: 0o755,
      uid: 0,
      mtimeSeconds: 0,
    })
  })

  test.each<[string, string, string[]]>([
    ['relative', 'r', ['r/', 'r/x=2', 's -> r']],
    ['absolute', '/r', ['r/', 'r/x=2', 's -> /r']],
    ['out of the root', '../../r', ['r/', 'r/x=2', 's -> ../../r']],
    ['dangling', 'no/where', ['no/', 'no/where/', 'no/where/x=2', 'r/', 's -> no/where']],
    ['with dots', './r/../r/.', ['r/', 'r/x=2', 's -> ./r/../r/.']],
  ])('a parent that is a %s symbolic link is followed inside the root', (_, target, expected) => {
    expect(listing(merge([directory('r'), symlink('s', target)], [file('s/x')]))).toEqual(expected)
  })

  test('what a link leaves again by ".." need not be there, and is not made', () => {
    const members = [directory('r'), file('r/x'), symlink('s', 'no/such/../../r'), file('s/y')]
    const root = merge([...members, hardlink('l', 's/x'), file('no2/../s/z')])
    expect(find(root, 'l')).toBe(find(root, 'r/x'))
    expect(listing(root)).toEqual(['l=1', 'r/', 'r/x=1', 'r/y=1', 'r/z=1', 's -> no/such/../../r'])
  })

  test('".." in a link leads up from where the link has led', () => {
    const layer = [directory('a/b'), symlink('s', 'a/b'), symlink('t', 's/../c')]
    expect(listing(merge(layer, [file('t/x')]))).toContain('a/c/x=2')
  })

  test.each<[string, Layer[], RegExp]>([
    ['a parent that is a file', [[file('f')], [file('f/x')]], /"f" on the way to it is not a directory/],
    [
      'a parent that links in a circle',
      [[symlink('s', 't'), symlink('t', 's'), file('s/x')]],
      /too many symbolic links/,
    ],
    ['a root that is a file', [[file('.')]], /the root can only be a directory/],
    ['a root that is a symbolic link', [[symlink('./', '/etc')]], /the root can only be a directory/],
    ['an empty link target', [[symlink('s', '')]], /link target has 0 bytes/],
    ['a link target of 4096 bytes', [[symlink('s', 'x'.repeat(4096))]], /link target has 4096 bytes/],
    [
      'a device that Linux does not have',
      [[{ path: 'c', flag: '3', major: 4096, minor: 0 }]],
      /no device 4096:0/,
    ],
  ])('%s is refused', (_, layers, reason) => {
    expect(() => merge(...layers)).toThrow(reason)
    expect(() => merge(...layers)).toThrow(expect.objectContaining({ code: 'oci.corrupt-layer' }))
  })

  test.each([
    ['a name of 256 bytes', 'x'.repeat(256), 'nameBytes', /Linux allows 255/],
    ['a path of 4096 bytes', 'x/'.repeat(2048), 'pathBytes', /Linux allows 4095/],
  ])('%s is more than can be', (_, path, which, reason) => {
    for (const layer of [[file(path)], [hardlink('l', path)]]) {
      expect(() => merge(layer)).toThrow(reason)
      const data = expect.objectContaining({ which })
      expect(() => merge(layer)).toThrow(expect.objectContaining({ code: 'oci.limit', data }))
    }
  })
})

describe('hard links', () => {
  test('are names of one node, across layers too', () => {
    const root = merge([file('a')], [hardlink('b', 'a'), hardlink('c', 'b')])
    expect(find(root, 'b')).toBe(find(root, 'a'))
    expect(find(root, 'c')).toBe(find(root, 'a'))
  })

  test('stay when one of the names is replaced or hidden', () => {
    expect(
      listing(merge([file('a'), hardlink('b', 'a'), hardlink('c', 'a')], [file('a'), file('.wh.c')])),
    ).toEqual(['a=2', 'b=1'])
  })

  test('keep the attributes of the object that they name', () => {
    const root = merge(
      [file('a', 'x', { mode: 0o600, uid: 4 })],
      [hardlink('b', 'a', { mode: 0o644, uid: 9 })],
    )
    expect(find(root, 'b')).toMatchObject({ mode: 0o600, uid: 4 })
  })

  test('can name symbolic links and devices, and are not followed', () => {
    const root = merge([
      file('t'),
      symlink('s', 't'),
      { path: 'p', flag: '6' },
      hardlink('l', 's'),
      hardlink('q', 'p'),
    ])
    expect(find(root, 'l')).toBe(find(root, 's'))
    expect(find(root, 'q')).toBe(find(root, 'p'))
  })

  test('find their target through symbolic links, inside the root', () => {
    const root = merge([directory('r'), file('r/x'), symlink('s', '/../r'), hardlink('l', '../s/x')])
    expect(find(root, 'l')).toBe(find(root, 'r/x'))
  })

  test.each<[string, Layer[], RegExp]>([
    ['to nothing', [[hardlink('l', 'no')]], /target "no" does not exist/],
    ['to what comes later', [[hardlink('l', 'x'), file('x')]], /target "x" does not exist/],
    [
      'to what their layer hides',
      [[file('x')], [hardlink('l', 'x'), file('.wh.x')]],
      /target "x" does not exist/,
    ],
    ['to themselves', [[file('x'), hardlink('x', 'x')]], /target "x" does not exist/],
    ['to what they replace', [[file('d/x'), hardlink('d', 'd/x')]], /"d" on the way to it does not exist/],
    ['to a directory', [[directory('d'), hardlink('l', 'd')]], /target "d" is a directory/],
    ['to the root', [[hardlink('l', '..')]], /target ".." is the root/],
    ['through a file', [[file('f'), hardlink('l', 'f/x')]], /not a directory/],
    ['with no target', [[hardlink('l', '')]], /path is empty/],
  ])('%s are refused', (_, layers, reason) => {
    expect(() => merge(...layers)).toThrow(reason)
  })
})
