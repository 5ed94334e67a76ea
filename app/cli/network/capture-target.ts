// Where a capture goes: standard output, or a file that can be read while it grows and never holds half a frame.
import { type FileHandle, open } from 'node:fs/promises'
import { write } from '../cli-context.ts'
import { CliError } from '../failure.ts'
import { fileProblem } from '../file-problem.ts'

export interface CaptureTarget extends AsyncDisposable {
  /** Takes whole blocks; of blocks that cannot be written nothing is left in a file. */
  write(blocks: Uint8Array): Promise<void>
}

export function isStandardOutput(path: string | undefined): path is '-' | undefined {
  return path === undefined || path === '-'
}

/** Opens a file, made its owner's alone where it is new, or standard output. Throws `cli.file`. */
export async function openCaptureTarget(
  path: string | undefined,
  process: NodeJS.Process,
): Promise<CaptureTarget> {
  if (isStandardOutput(path))
    return { write: (blocks) => write(process.stdout, blocks), [Symbol.asyncDispose]: async () => {} }
  try {
    // What guests say to each other is nobody else's business.
    return fileTarget(await open(path, 'w', 0o600), path)
  } catch (error) {
    throw cannotWrite(path, error)
  }
}

function fileTarget(file: FileHandle, path: string): CaptureTarget {
  let writtenBytes = 0
  return {
    write: async (blocks) => {
      try {
        await file.writeFile(blocks)
        writtenBytes += blocks.length
      } catch (error) {
        await file.truncate(writtenBytes).catch(() => {}) // A pipe has nothing to take back.
        throw cannotWrite(path, error)
      }
    },
    [Symbol.asyncDispose]: () => file.close(),
  }
}

function cannotWrite(path: string, error: unknown): CliError {
  return new CliError('cli.file', `Cannot write the capture to ${path}: ${fileProblem(error)}`, {
    cause: error,
  })
}
