// Reading a file of the administrator's settings: it says what this host allows, so nobody else may be able to write it.
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { BulkheadError } from '../errors.ts'
import { isSystemError } from '../sys/system-error.ts'
import { HostError } from './errors.ts'

const longestFileBytes = 1024 * 1024

/** The text; undefined where there is no file. Throws `host.bad-settings` with the file and why. */
export async function readOwnFile(file: string): Promise<string | undefined> {
  let handle: Awaited<ReturnType<typeof open>>
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw badSettings(file, error instanceof Error ? error.message : String(error))
  }
  try {
    const { uid, mode, size } = await handle.stat()
    if ((uid !== 0 && uid !== process.getuid?.()) || (mode & 0o022) !== 0)
      throw badSettings(
        file,
        'others than root may write it',
        `As root: chown root: ${file}; chmod 644 ${file}`,
      )
    if (size > longestFileBytes) throw badSettings(file, `it is larger than ${longestFileBytes} bytes`)
    return await handle.readFile('utf8')
  } catch (error) {
    if (error instanceof BulkheadError) throw error
    throw badSettings(file, error instanceof Error ? error.message : String(error))
  } finally {
    await handle.close()
  }
}

export function badSettings(file: string, reason: string, hint = 'Correct it.'): HostError {
  return new HostError('host.bad-settings', `Cannot use the settings in ${file}: ${reason}`, { hint })
}
