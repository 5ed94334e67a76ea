// The programs that a bench compares with or measures by: Debian's packages, installed when they are missing.
import { spawnSync } from 'node:child_process'

/** Installs the packages of those tools that are not there; needs root. `bench` is for the message. */
export function installPackages(
  bench: string,
  packageOfTool: Readonly<Record<string, string>>,
  report: (line: string) => void,
): void {
  if (process.getuid?.() !== 0) throw new Error(`Cannot run the ${bench} bench: it needs root`)
  const missing = Object.entries(packageOfTool)
    .filter(([tool]) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0)
    .map(([, name]) => name)
  if (missing.length === 0) return
  report(`Installing ${missing.join(', ')}`)
  for (const words of [['update'], ['install', '-y', '--no-install-recommends', ...missing]]) {
    const { status, stderr } = spawnSync('apt-get', ['-qq', ...words], { encoding: 'utf8' })
    if (status !== 0) throw new Error(`Cannot install ${missing.join(', ')}: ${stderr.trim().slice(-500)}`)
  }
}
