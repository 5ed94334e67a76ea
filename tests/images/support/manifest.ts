// Describes a directory tree completely: what the kernel says about every object in it, and a hash of every file's
// content. Two trees with the same description are the same to a guest.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from 'node:fs'

/** One line for each path below `root`, the root itself included, sorted. */
export function describeTree(root: string): Map<string, string> {
  const rootBytes = Buffer.from(root)
  const lines = new Map<string, string>()
  const xattrs = xattrsBelow(root)
  const firstNames = new Map<number, string>()
  const visit = (path: Buffer, name: string): void => {
    const stats = lstatSync(path)
    const content = contentOf(path, stats)
    const time = Math.floor(stats.mtimeMs / 1000)
    let twin = ''
    if (!stats.isDirectory() && stats.nlink > 1) {
      twin = firstNames.get(stats.ino) ?? ''
      if (twin === '') firstNames.set(stats.ino, name)
    }
    const mode = stats.mode.toString(8)
    const line = `${mode} ${stats.uid}:${stats.gid} links=${stats.nlink} time=${time} ${content} ${xattrs.get(name) ?? ''}`
    lines.set(name, twin === '' ? line : `${line} same-as ${twin}`)
    if (!stats.isDirectory()) return
    const children = readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare)
    for (const child of children)
      visit(Buffer.concat([path, Buffer.from('/'), child]), `${name}/${child.toString('latin1')}`)
  }
  visit(rootBytes, '.')
  return lines
}

function contentOf(path: Buffer, stats: Stats): string {
  if (stats.isFile())
    return `file ${stats.size} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`
  if (stats.isSymbolicLink()) return `link ${readlinkSync(path, { encoding: 'buffer' }).toString('latin1')}`
  if (stats.isDirectory()) return 'directory'
  if (stats.isFIFO()) return 'fifo'
  return `device ${stats.rdev}`
}

/**
 * All extended attributes below a root, through getfattr, by path relative to the root. An image without any answers
 * "not supported", which getfattr counts as a failure.
 */
function xattrsBelow(root: string): Map<string, string> {
  const { error, stdout, stderr } = spawnSync(
    'getfattr',
    ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '.'],
    {
      cwd: root,
      encoding: 'latin1',
      maxBuffer: 1 << 28,
    },
  )
  if (error !== undefined) throw error
  const complaints = stderr
    .split('\n')
    .filter((line) => line !== '' && !line.endsWith('Operation not supported'))
  if (complaints.length > 0) throw new Error(`getfattr failed: ${complaints.slice(0, 3).join('; ')}`)
  const xattrs = new Map<string, string>()
  for (const paragraph of stdout.split('\n\n')) {
    const [head, ...values] = paragraph.split('\n').filter((line) => line !== '')
    if (head === undefined) continue
    const name = head
      .slice('# file: '.length)
      .replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
    xattrs.set(name === '.' ? '.' : `./${name}`, values.sort().join(' '))
  }
  return xattrs
}

/** The first differences of two descriptions, readable; empty when there are none. */
export function differences(one: Map<string, string>, other: Map<string, string>): string[] {
  const names = new Set([...one.keys(), ...other.keys()])
  return [...names]
    .sort()
    .filter((name) => one.get(name) !== other.get(name))
    .slice(0, 20)
    .map((name) => `${name}\n  ${one.get(name) ?? '(absent)'}\n  ${other.get(name) ?? '(absent)'}`)
}
