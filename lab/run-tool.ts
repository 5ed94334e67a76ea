// Runs one program of the host to its end and turns a failure into a sentence with what the program said.

import { spawn } from 'node:child_process'
import { LabError } from './errors.ts'

export interface ToolOptions {
  readonly cwd?: string
  readonly stdin?: Uint8Array
  readonly signal?: AbortSignal | undefined
}

/** Runs `argv` and returns its standard output. Rejects with `lab.tool` if it cannot start or ends with a non-zero status. */
export function runTool(argv: readonly [string, ...string[]], options: ToolOptions = {}): Promise<Buffer> {
  const [program, ...args] = argv
  // mke2fs and its like are in folders that only root has on its path.
  const path = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, PATH: path, LC_ALL: 'C' },
      signal: options.signal,
      stdio: [options.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    })
    const output: Buffer[] = []
    const complaints: Buffer[] = []
    child.stdout?.on('data', (chunk: Buffer) => output.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => complaints.push(chunk))
    child.on('error', (cause) =>
      reject(new LabError('lab.tool', `Cannot run ${program}: ${cause.message}`, { cause })),
    )
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(Buffer.concat(output))
      const said = Buffer.concat(complaints).toString().trim().split('\n').slice(-5).join('; ')
      const end = code === null ? `was killed by ${signal}` : `ended with status ${code}`
      reject(new LabError('lab.tool', `Cannot finish ${program}: it ${end}: ${said}`))
    })
    // A tool that stops reading early closes its input; its exit status tells the story.
    child.stdin?.on('error', () => {})
    child.stdin?.end(options.stdin)
  })
}
