// A program that starts Node in the host's namespace of a lab: what the engine opens, it opens there.
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { NetworkLab } from './network-lab.ts'

/** Its path, in `folder`. */
export function engineStarter(lab: NetworkLab, folder: string): string {
  const starter = join(folder, 'start')
  writeFileSync(starter, `#!/bin/sh\nexec nsenter --net=${lab.host.path} ${process.execPath} "$@"\n`)
  chmodSync(starter, 0o755)
  return starter
}
