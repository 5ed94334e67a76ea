// Variables for the program: `-e` and `--env-file`, by docker's rules (cli/opts/file.go, opts/env.go).
import { readFileSync } from 'node:fs'
import { CliError, UsageError } from '../failure.ts'

type Variables = Readonly<Record<string, string | undefined>>

/** `NAME=VALUE` as it is; `NAME` with the caller's value, or undefined where the caller has none. */
export function environmentEntry(entry: string, caller: Variables): string | undefined {
  const equals = entry.indexOf('=')
  if (equals === 0 || entry === '')
    throw new UsageError(`Cannot use the variable "${entry}": it has no name`, {
      hint: 'Write -e NAME=VALUE, or -e NAME to pass on your own value.',
    })
  if (equals > 0) return entry
  const value = caller[entry]
  return value === undefined ? undefined : `${entry}=${value}`
}

/**
 * The entries of an environment file: a variable a line, `#` begins a comment line, white space before a name is
 * dropped, and everything behind `=` belongs to the value as it stands, quotes too. Throws a UsageError that names
 * the line.
 */
export function parseEnvironmentFile(bytes: Uint8Array, path: string, caller: Variables): string[] {
  const entries: string[] = []
  for (const [index, line] of decode(bytes, path).split('\n').entries()) {
    const text = line.replace(/\r$/, '').trimStart()
    if (text === '' || text.startsWith('#')) continue
    const where = `line ${index + 1} of ${path}`
    const [name = ''] = text.split('=', 1)
    if (name.trim() === '') throw new UsageError(`Cannot use ${where}: it names no variable`)
    if (/\s/.test(name)) throw new UsageError(`Cannot use ${where}: the name "${name}" has white space in it`)
    const entry = environmentEntry(text, caller)
    if (entry !== undefined) entries.push(entry)
  }
  return entries
}

/** All variables for the program: the files' first, then the single ones, which win. */
export function collectEnvironment(
  files: readonly string[],
  single: readonly string[],
  caller: Variables,
): string[] {
  const fromFiles = files.flatMap((path) => parseEnvironmentFile(readWhole(path), path, caller))
  const fromOptions = single.map((entry) => environmentEntry(entry, caller))
  return [...fromFiles, ...fromOptions.filter((entry) => entry !== undefined)]
}

function readWhole(path: string): Uint8Array {
  try {
    return readFileSync(path)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new CliError('cli.file', `Cannot read the environment file ${path}: ${reason}`, { cause: error })
  }
}

function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes) // Drops a byte order mark, as docker does.
  } catch {
    throw new UsageError(`Cannot use the environment file ${path}: it is not UTF-8 text`)
  }
}
