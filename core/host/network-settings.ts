// What the host's settings say about the guests' network: /etc/bulkhead/network.json, docs/networking.md. Read when the core
// host starts; an error in it keeps it from starting, since limits and closed places may depend on it.
import { NetError } from '../net/errors.ts'
import { defaultSettings, type NetworkSettings } from '../net/settings.ts'
import { completeSettings } from '../net/settings-schema.ts'
import { duplicateKey } from '../oci/strict-json.ts'
import { badSettings, readOwnFile } from './own-file.ts'

export const systemNetworkFile = '/etc/bulkhead/network.json'

/** The settings in `file` over the defaults; the defaults where there is no file. Throws `host.bad-settings`. */
export async function readNetworkSettings(file: string): Promise<NetworkSettings> {
  const text = await readOwnFile(file)
  if (text === undefined) return defaultSettings
  try {
    const document: unknown = JSON.parse(text)
    // JSON.parse keeps the last of two.
    const twice = duplicateKey(text, `the settings in ${file}`)
    if (twice !== undefined) throw badSettings(file, `"${twice}" occurs twice in one place`)
    return completeSettings(document)
  } catch (error) {
    if (error instanceof NetError) throw badSettings(file, error.message.replace(/^[^:]*: /, ''))
    if (error instanceof SyntaxError) throw badSettings(file, error.message)
    throw error
  }
}
