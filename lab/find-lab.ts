// Looks for a running lab by what lies in the cache folder, without the machinery that builds one.
import { readdirSync } from 'node:fs'
import { openCache } from './cache.ts'
import { labFiles } from './daemon/lab-files.ts'
import { isListening } from './lab-client.ts'
import { checkLabName, defaultLabName } from './lab-options.ts'

/**
 * The core host's socket of the running lab `name`. Without a name: of the default lab, else of the only one
 * that runs.
 */
export async function findLab(name: string | undefined): Promise<string | undefined> {
  if (name !== undefined) {
    checkLabName(name)
    return await socketOf(name)
  }
  const others = readdirSync(openCache().labs).filter((other) => other !== defaultLabName && isLabName(other))
  const found = await Promise.all([defaultLabName, ...others].map(socketOf))
  const [ofDefault, ...ofOthers] = found
  const running = ofOthers.filter((socket) => socket !== undefined)
  return ofDefault ?? (running.length === 1 ? running[0] : undefined)
}

async function socketOf(name: string): Promise<string | undefined> {
  const { labSocket, coreSocket } = labFiles(openCache(), name)
  return (await isListening(labSocket)) ? coreSocket : undefined
}

function isLabName(name: string): boolean {
  try {
    checkLabName(name)
    return true
  } catch {
    return false
  }
}
