// What a person needs to hear once and not at every command: remembered in the user's state folder.
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

/** True the first time that this user is to be told `sentence`. Where nothing can be remembered: always. */
export function isNews(sentence: string, environment: NodeJS.ProcessEnv): boolean {
  const state = environment.XDG_STATE_HOME || join(environment.HOME || homedir(), '.local', 'state')
  const path = join(state, 'bulkhead', 'told')
  try {
    if (linesOf(path).includes(sentence)) return false
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    appendFileSync(path, `${sentence}\n`)
  } catch {
    // A home that cannot be written must not keep anybody from running a guest.
  }
  return true
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n')
  } catch {
    return []
  }
}
