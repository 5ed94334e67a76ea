// The second half of `npm start`, under Node 24: compiles, makes sure of a Xen host, of an image, runs it as a guest,
// and opens the app where there is a display. Each step says what it does and is quick where it is done already.
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hasDisplay, openApp } from './app-launch.ts'
import { compile } from './compile.ts'
import { demoImageName, writeDemoImage } from './demo-image.ts'
import { ensureCoreHost, isDom0 } from './local-core.ts'

const root = join(import.meta.dirname, '..')
const cli = join(root, 'dist/cli/bulkhead.js')
const command = 'npx bulkhead'

function say(line: string): void {
  process.stderr.write(`${line}\n`)
}

interface Result {
  readonly status: number
  readonly stdout: string
}

/** Runs the command line as a user would; its stdout is kept where it is asked for. */
function bulkhead(args: readonly string[], { keep = false } = {}): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cli, ...args], {
      stdio: ['ignore', keep ? 'pipe' : 'inherit', 'inherit'],
    })
    let stdout = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout += chunk.toString()
    })
    child.once('error', reject)
    child.once('close', (code) => resolve({ status: code ?? 1, stdout }))
  })
}

class StartError extends Error {}

async function must(args: readonly string[], what: string): Promise<string> {
  const { status, stdout } = await bulkhead(args, { keep: true })
  if (status !== 0) throw new StartError(`Cannot ${what}; the reason is above`)
  return stdout
}

async function ensureImage(): Promise<void> {
  const images = JSON.parse(await must(['images', '--json'], 'list the images')) as { reference: string }[]
  if (images.some(({ reference }) => reference === demoImageName)) return
  say("Making a demo image from Debian's busybox")
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-start-'))
  try {
    const archive = join(folder, 'busybox.tar')
    await writeDemoImage(archive)
    await must(['import', '-q', archive], 'import the demo image')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function runDemo(): Promise<void> {
  const script =
    'echo "Hello from a Xen guest: $(uname -sr), $(nproc) vCPU, $(free -m | awk \'/Mem:/ {print $2}\') MiB, PID $$ of its own."'
  say(`\n$ ${command} run --rm ${demoImageName} sh -c '…'`)
  const { status } = await bulkhead(['run', '--rm', '-q', demoImageName, 'sh', '-c', script])
  if (status !== 0) throw new StartError(`The demo guest ended with status ${status}`)
}

function sayWhatNext(usesLab: boolean): void {
  const lines = [
    '',
    'Go on:',
    `  ${command} run -it --rm ${demoImageName}     a shell in a guest of its own`,
    `  ${command} ps                                     guests that run`,
    `  ${command} --help                                 everything else`,
    ...(usesLab
      ? [
          'Stop:',
          `  ${command} lab down                               the Xen host in QEMU, which stays up until then`,
        ]
      : []),
  ]
  say(lines.join('\n'))
}

try {
  await compile(say)
  const usesLab = !isDom0()
  if (usesLab) await must(['lab', 'up'], 'start the lab')
  else await ensureCoreHost(root, say)
  await ensureImage()
  await runDemo()
  if (hasDisplay()) await openApp(root, say)
  sayWhatNext(usesLab)
} catch (error) {
  say(`bulkhead: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
