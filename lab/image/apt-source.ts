// Where apt looks for the lab's packages: in the machine's own lists; in fresh private ones, for machines whose
// lists are empty or old; and in Debian 12's own mirror, for machines that run another release.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LabCache } from '../cache.ts'
import { runTool } from '../run-tool.ts'

/** One way of asking apt. */
export interface AptSource {
  /** For messages: "this machine's package lists". */
  readonly name: string
  /** Options that every call of apt-get and apt-cache gets. */
  prepare(): Promise<readonly string[]>
}

const debianKeyring = '/usr/share/keyrings/debian-archive-keyring.gpg'
const debianSources = ['debian bookworm', 'debian bookworm-updates', 'debian-security bookworm-security']
  .map((place) => `deb [signed-by=${debianKeyring}] http://deb.debian.org/${place} main\n`)
  .join('')

/** The sources in the order in which they are tried. */
export function aptSources(cache: LabCache, report: (line: string) => void): AptSource[] {
  const own: AptSource = { name: "this machine's package lists", prepare: async () => [] }
  const fresh: AptSource = {
    name: "this machine's sources",
    async prepare() {
      report('Fetching the list of Debian packages')
      return updateLists(privateOptions(join(cache.packages, 'apt')))
    },
  }
  const debian: AptSource = {
    name: "Debian 12's mirror",
    async prepare() {
      report('Fetching the list of Debian 12 packages')
      const state = join(cache.packages, 'apt-bookworm')
      const options = privateOptions(state)
      writeFileSync(join(state, 'sources.list'), debianSources)
      const sourceList = `Dir::Etc::sourcelist=${join(state, 'sources.list')}`
      const strict = 'APT::Update::Error-Mode=any'
      return updateLists([
        ...options,
        '-o',
        sourceList,
        '-o',
        'Dir::Etc::sourceparts=/dev/null',
        '-o',
        strict,
      ])
    },
  }
  return existsSync(debianKeyring) ? [own, fresh, debian] : [own, fresh]
}

/** apt with its state in a folder of ours; what is installed on this machine has no say there. */
function privateOptions(state: string): string[] {
  mkdirSync(join(state, 'lists', 'partial'), { recursive: true })
  mkdirSync(join(state, 'cache', 'archives', 'partial'), { recursive: true })
  writeFileSync(join(state, 'status'), '')
  return [
    ...['-o', `Dir::State=${state}`, '-o', `Dir::State::lists=${join(state, 'lists')}`],
    ...['-o', `Dir::State::status=${join(state, 'status')}`, '-o', `Dir::Cache=${join(state, 'cache')}`],
    ...['-o', 'APT::Sandbox::User='],
  ]
}

async function updateLists(options: readonly string[]): Promise<readonly string[]> {
  await runTool(['apt-get', ...options, '-q', 'update'])
  return options
}
