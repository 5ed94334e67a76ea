// Everything that has to be compiled, each part only where its sources changed: guest-init, the core host and the
// command line, the app.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')

interface Part {
  readonly name: string
  readonly title: string
  readonly sources: readonly string[]
  readonly result: string
  readonly command: readonly string[]
}

const parts: readonly Part[] = [
  {
    name: 'guest-init',
    title: 'guest-init',
    sources: ['guest-init'],
    result: 'dist/guest-init/guest-init',
    command: ['make', '--silent', '-C', 'guest-init'],
  },
  {
    name: 'core',
    title: 'the core host and the command line',
    sources: ['core', 'lab', 'app/cli', 'build/bundle.ts', 'package.json', 'package-lock.json'],
    result: 'dist/cli/bulkhead.js',
    command: [process.execPath, 'build/bundle.ts'],
  },
  {
    name: 'app',
    title: 'the app',
    sources: [
      'app',
      'core/api',
      'core/client',
      'core/errors.ts',
      'lab',
      'electron.vite.config.ts',
      'package-lock.json',
    ],
    result: 'out/main/index.js',
    command: [
      process.execPath,
      'node_modules/electron-vite/bin/electron-vite.js',
      'build',
      '--logLevel',
      'warn',
    ],
  },
]

/** Compiles what is out of date; `report` gets a line for each part that is. Throws where a compiler fails. */
export async function compile(
  report: (line: string) => void,
  names = parts.map(({ name }) => name),
): Promise<void> {
  await mkdir(join(root, 'dist/.keys'), { recursive: true })
  for (const part of parts.filter(({ name }) => names.includes(name))) {
    const keyFile = join(root, 'dist/.keys', part.name)
    const key = await contentKey(part)
    const old = await readFile(keyFile, 'utf8').catch(() => '')
    if (old === key && existsSync(join(root, part.result))) continue
    report(`Compiling ${part.title}`)
    await run(part)
    await writeFile(keyFile, key)
  }
}

async function contentKey({ sources, command }: Part): Promise<string> {
  const hash = createHash('sha256').update(command.slice(1).join('\0'))
  for (const source of sources) {
    for (const file of await filesOf(source))
      hash.update(`\0${file}\0`).update(await readFile(join(root, file)))
  }
  return hash.digest('hex')
}

async function filesOf(source: string): Promise<string[]> {
  const entries = await readdir(join(root, source), { withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOTDIR') return undefined
      throw error
    },
  )
  if (entries === undefined) return [source]
  const files: string[] = []
  for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
    if (entry.name.endsWith('.test.ts')) continue
    const path = join(source, entry.name)
    if (entry.isDirectory()) files.push(...(await filesOf(path)))
    else if (entry.isFile()) files.push(path)
  }
  return files
}

function run({ title, command }: Part): Promise<void> {
  const [program = '', ...args] = command
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const keep = (chunk: Buffer) => {
      output += chunk.toString()
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.once('error', reject)
    child.once('exit', (code) => {
      if (code === 0) resolve()
      else reject(new Error(`Cannot compile ${title}:\n${output}`))
    })
  })
}

if (import.meta.main)
  await compile(
    (line) => process.stderr.write(`${line}\n`),
    process.argv.slice(2).length > 0 ? process.argv.slice(2) : undefined,
  )
