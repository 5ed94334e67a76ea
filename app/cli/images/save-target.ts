// Where `save` puts an archive: standard output, or a file that is there complete or not at all.
import { rmSync } from 'node:fs'
import { type FileHandle, open, realpath, stat } from 'node:fs/promises'
import { commitFile, temporaryName } from '../../../core/durable-file.ts'
import { write } from '../cli-context.ts'
import { CliError } from '../failure.ts'
import { fileProblem } from '../file-problem.ts'

export interface SaveTarget extends AsyncDisposable {
  write(bytes: Uint8Array): Promise<void>
  /** Everything was written. Without it nothing is left of a file. */
  commit(): Promise<void>
}

/** Opens a file, or standard output without one. Throws `cli.file`. */
export async function openSaveTarget(path: string | undefined, process: NodeJS.Process): Promise<SaveTarget> {
  if (path !== undefined && path !== '-') return await openFile(path, process)
  if (process.stdout.isTTY)
    throw new CliError('cli.file', 'Cannot save to standard output: it is a terminal', {
      hint: 'Name a file with -o, or pipe it into another program.',
    })
  return {
    write: (bytes) => write(process.stdout, bytes),
    commit: async () => {},
    [Symbol.asyncDispose]: async () => {},
  }
}

async function openFile(path: string, process: NodeJS.Process): Promise<SaveTarget> {
  try {
    const target = await realpath(path).catch(() => path) // A link stays one.
    const found = await stat(target).catch(() => undefined)
    if (found?.isDirectory()) throw new CliError('cli.file', `Cannot save to ${path}: it is a folder`)
    // A pipe or a device cannot be replaced by a file.
    if (found !== undefined && !found.isFile()) return await openInPlace(target, path)
    return await openBeside(target, path, found === undefined ? undefined : found.mode & 0o777, process)
  } catch (error) {
    throw cannotSave(path, error)
  }
}

async function openInPlace(target: string, path: string): Promise<SaveTarget> {
  const file = await open(target, 'w')
  return {
    write: (bytes) => writeWhole(file, bytes, path),
    commit: async () => {},
    [Symbol.asyncDispose]: () => file.close(),
  }
}

/** Writes under another name, and gives the file its own when all of it is there. */
async function openBeside(
  target: string,
  path: string,
  modeBefore: number | undefined,
  process: NodeJS.Process,
): Promise<SaveTarget> {
  const temporary = temporaryName(target)
  const file = await open(temporary, 'wx', 0o600)
  const remove = () => rmSync(temporary, { force: true })
  process.on('exit', remove) // Also for who presses Ctrl+C twice.
  let isCommitted = false
  return {
    write: (bytes) => writeWhole(file, bytes, path),
    commit: async () => {
      // Images may hold secrets: a new file is its owner's alone, as docker has it.
      await commitFile(file, temporary, target, modeBefore ?? 0o600).catch((error: unknown) => {
        throw cannotSave(path, error)
      })
      isCommitted = true
    },
    [Symbol.asyncDispose]: async () => {
      process.off('exit', remove)
      await file.close()
      if (!isCommitted) remove()
    },
  }
}

async function writeWhole(file: FileHandle, bytes: Uint8Array, path: string): Promise<void> {
  try {
    await file.writeFile(bytes)
  } catch (error) {
    throw cannotSave(path, error)
  }
}

function cannotSave(path: string, error: unknown): CliError {
  if (error instanceof CliError) return error
  return new CliError('cli.file', `Cannot save to ${path}: ${fileProblem(error)}`, { cause: error })
}
