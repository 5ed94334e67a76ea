// A guest with a shell that is told line by line what to do: one boot for many tests.

import { PassThrough } from 'node:stream'
import type { RunningCommand } from '../../../app/cli/command-line.fixture.ts'
import type { LabHost } from '../../cli/lab-host.ts'

export interface Answer {
  readonly status: number
  /** Standard output and standard error, as they came. */
  readonly output: string
}

export class GuestShell {
  readonly name: string
  readonly #command: RunningCommand
  readonly #input: PassThrough
  #output = ''
  #asked = 0

  private constructor(name: string, command: RunningCommand, input: PassThrough) {
    this.name = name
    this.#command = command
    this.#input = input
    command.child.stdout?.on('data', (chunk: Buffer) => {
      this.#output += chunk
    })
  }

  /** Boots a guest called `name` from `image` and waits until its shell answers. */
  static async start(
    host: LabHost,
    { name, image, options = [] }: { name: string; image: string; options?: readonly string[] },
  ): Promise<GuestShell> {
    const input = new PassThrough()
    const command = host.start(['run', '--rm', '-i', '-m', '256m', '--name', name, ...options, image, 'sh'], {
      input,
    })
    const shell = new GuestShell(name, command, input)
    await shell.run('true')
    return shell
  }

  /** Runs lines of shell to their end. */
  async run(script: string): Promise<Answer> {
    const mark = `-- end of ${++this.#asked} --`
    const before = this.#output.length
    this.#input.write(`(\n${script}\n) </dev/null 2>&1; printf '\\n%s %s\\n' $? '${mark}'\n`)
    await this.#command.said(mark)
    const [, output = '', status = ''] =
      new RegExp(`^(.*)\n(\\d+) ${mark}`, 's').exec(this.#output.slice(before)) ?? []
    return { status: Number(status), output }
  }

  /** The same, for what must not fail: its output. */
  async ask(script: string): Promise<string> {
    const { status, output } = await this.run(script)
    if (status !== 0) throw new Error(`In guest ${this.name}, status ${status}: ${script}\n${output}`)
    return output
  }

  /** Lets the shell come to its end, and the guest with it. */
  async end(): Promise<void> {
    this.#input.end()
    await this.#command.finish()
  }
}
