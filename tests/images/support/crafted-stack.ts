// A stack of layers with every kind of entry, whiteouts, and links between layers, for all formats of root images.

import { randomBytes } from 'node:crypto'
import {
  directory,
  file,
  hardlink,
  symlink,
  type TarMember,
} from '../../../core/oci/layer/testing/tar-writer.ts'

const KIB = 1024
const MIB = 1024 * KIB

const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex')

/** Three layers, bottom first, with every kind of entry. */
export const craftedStack: TarMember[][] = [
  [
    directory('./', { mode: 0o755, mtime: 1_000_000 }),
    directory('bin', { mtime: 5 }),
    file('bin/tool', randomBytes(300 * KIB), {
      mode: 0o4755,
      uid: 0,
      xattrs: { 'security.capability': capability },
    }),
    hardlink('bin/same-tool', 'bin/tool'),
    symlink('lib', 'usr/lib'),
    directory('usr', { mtime: 3 }),
    directory('usr/lib', { mode: 0o2775, gid: 70_000 }),
    file('usr/lib/data', Buffer.alloc(1 * MIB, 'text ')),
    directory('d', { xattrs: { 'user.on-directory': 'yes' } }),
    file('d/lower', 'lower'),
    file('d/replaced', 'lower'),
    directory('gone'),
    file('gone/file', 'x'),
    { path: 'null', flag: '3', major: 1, minor: 3, mode: 0o666, xattrs: { 'trusted.on-device': 'v' } },
    { path: 'disk', flag: '4', major: 259, minor: 70_000, mode: 0o660 },
    { path: 'pipe', flag: '6', mode: 0o600, uid: 4_000_000_000, xattrs: { 'trusted.on-fifo': 'v' } },
    symlink('with-attributes', 'nowhere', { xattrs: { 'trusted.on-link': Buffer.from([0, 1, 255]) } }),
    file('zeros', Buffer.alloc(1 * MIB)),
    file('holes', Buffer.concat([Buffer.alloc(256 * KIB), randomBytes(200 * KIB), Buffer.alloc(300 * KIB)])),
    file('empty'),
    file(`${'long-name-'.repeat(25)}`, 'long', { mtime: 2 ** 32 - 1 }),
    file(`deep/${'directory/'.repeat(60)}file`, 'deep'),
    file('not-utf8-\xff\xfe', 'bytes'),
  ].flatMap(withParents),
  [
    directory('d', { mode: 0o700, uid: 5 }),
    file('d/replaced', 'upper'),
    file('d/.wh.lower'),
    file('.wh.gone'),
    file('lib/through-link', 'x'),
    hardlink('usr/lib/link-to-lower-layer', 'bin/tool'),
    file('bin/tool', 'a new tool', { mode: 0o755 }),
  ],
  [
    directory('gone', { mtime: 7 }),
    file('gone/.wh..wh..opq'),
    file('gone/again', 'back'),
    directory('lib'),
    file('lib/.wh..wh..opq'),
    file('lib/own', 'not in usr/lib'),
    file('d/large', randomBytes(3 * MIB)),
  ],
]

/** umoci gives missing parents the time of the unpacking: name them all. */
function withParents(member: TarMember): TarMember[] {
  const names = member.path.split('/').slice(0, -1)
  const parents = names.map((_, depth) => directory(names.slice(0, depth + 1).join('/'), { mtime: 11 }))
  return member.path === './' || names.length < 3 ? [member] : [...parents, member]
}
