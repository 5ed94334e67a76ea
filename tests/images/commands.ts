// Runs the tools that the image tests compare with or build their inputs with (skopeo, umoci, tar, openssl).

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const execFileAsync = promisify(execFile)

/** Runs a program to its end and returns what it wrote to stdout; its stderr is in the error when it fails. */
export async function run(program: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await execFileAsync(program, args, { maxBuffer: 64 * 1024 * 1024 })
  return stdout
}
