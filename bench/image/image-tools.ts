// The programs that the image bench compares with and makes its image with: installed when they are missing, run to
// their end, or run and measured.
import { spawn, spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { installPackages } from '../install-packages.ts'

/** Programs, and the Debian package of each. */
const packageOfTool = {
  mmdebstrap: 'mmdebstrap',
  skopeo: 'skopeo',
  umoci: 'umoci',
  mksquashfs: 'squashfs-tools',
  tar2sqfs: 'squashfs-tools-ng',
  'mkfs.erofs': 'erofs-utils',
  '/usr/bin/time': 'time',
} as const

/** What a program took, with all that it started. */
export interface Cost {
  readonly wallSeconds: number
  readonly cpuSeconds: number
  /** Resident memory of the largest process. */
  readonly peakMiB: number
}

/** Installs what is missing; needs root, which mounts images and drops caches too. */
export function installTools(report: (line: string) => void): void {
  installPackages('image', packageOfTool, report)
}

/** Runs a program to its end and returns its output. */
export async function runTool(program: string, ...args: readonly string[]): Promise<string> {
  return (await runToEnd(program, args)).stdout
}

/** Runs a shell script under GNU time. */
export async function measureScript(script: string): Promise<Cost> {
  const { stderr } = await runToEnd('/usr/bin/time', [
    '--format',
    'TIME %e %U %S %M',
    'sh',
    '-e',
    '-c',
    script,
  ])
  const line = stderr.split('\n').findLast((text) => text.startsWith('TIME '))
  const [wall, user, system, peakKiB] = (line?.split(' ').slice(1) ?? []).map(Number)
  if (wall === undefined || user === undefined || system === undefined || peakKiB === undefined)
    throw new Error(`GNU time said nothing: ${stderr}`)
  return { wallSeconds: wall, cpuSeconds: user + system, peakMiB: peakKiB / 1024 }
}

/** What the machine is, for the head of the report. */
export function machine(): string {
  return `${availableParallelism()} processors, Linux ${spawnSync('uname', ['-r'], { encoding: 'utf8' }).stdout.trim()}`
}

function runToEnd(program: string, args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString('latin1')
    })
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString('latin1')
    })
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve({ stdout, stderr })
      else reject(new Error(`${program} ended with status ${code}: ${stderr.trim().slice(-500)}`))
    })
  })
}
