// Why a file of the user's cannot be written, in words.

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'its folder does not exist',
  EACCES: 'you may not write there',
  EISDIR: 'it is a folder',
  ENOSPC: 'the disk is full',
}

/** The reason of a failed call, without the name of the file. */
export function fileProblem(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return reasons[code ?? ''] ?? message
}
