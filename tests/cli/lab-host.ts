// A pristine lab with the demo image in its store, and the built command line pointed at it.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type CommandOptions,
  type Finished,
  type RunningCommand,
  startCommand,
  startInTerminal,
  type TerminalCommand,
} from '../../app/cli/command-line.fixture.ts'
import { demoImageName, writeDemoImage } from '../../build/demo-image.ts'
import { type Lab, startLab } from '../../lab/fixture.ts'

/** The command as it stands in a checkout; it runs what `npm run build` made. */
export const bulkheadCommand = join(import.meta.dirname, '../../bin/bulkhead')

export const image = demoImageName

export class LabHost implements AsyncDisposable {
  readonly lab: Lab
  readonly folder: string
  readonly #before: string

  private constructor(lab: Lab, folder: string, before: string) {
    this.lab = lab
    this.folder = folder
    this.#before = before
  }

  /** Restores a lab and imports the demo image into it with `bulkhead import`. */
  static async start(): Promise<LabHost> {
    const folder = mkdtempSync(join(tmpdir(), 'bulkhead-cli-'))
    const lab = await startLab()
    const host = new LabHost(lab, folder, await tracesIn(lab))
    const archive = join(folder, 'demo.tar')
    await writeDemoImage(archive)
    const { status, stdout, stderr } = await host.bulkhead(['import', archive])
    if (status !== 0 || stdout !== `${image}\n`)
      throw new Error(`The demo image did not come in: ${stdout}${stderr}\n${await lab.story()}`)
    return host
  }

  /** Runs `bulkhead WORDS…` to its end. */
  bulkhead(words: readonly string[], options: CommandOptions = {}): Promise<Finished> {
    return this.start(words, options).finish()
  }

  start(words: readonly string[], options: CommandOptions = {}): RunningCommand {
    return startCommand(words, this.#pointedHere(options))
  }

  terminal(words: readonly string[], options: CommandOptions = {}): TerminalCommand {
    return startInTerminal(words, this.#pointedHere(options))
  }

  /** What Xen and dom0 have now of domains, loop devices, interfaces and xenstore nodes and had not before. */
  async leftBehind(): Promise<string[]> {
    const before = new Set([...this.#before.split('\n'), ...shared])
    return (await tracesIn(this.lab)).split('\n').filter((line) => !before.has(line))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  #pointedHere(options: CommandOptions): CommandOptions {
    return { command: [bulkheadCommand], socketPath: this.lab.socketPath, ...options }
  }
}

/** What the first guest makes and all others use: folders of xenstore, which xl leaves too, and the vifs' namespace. */
const shared = [
  '/local/domain/0/backend',
  '/local/domain/0/backend/console',
  '/local/domain/0/backend/vbd',
  '/local/domain/0/backend/vif',
  '/vm',
  '/bulkhead',
]
  .map((path) => `node ${path} = ""`)
  .concat('run netns')

/** Lines that name everything a guest may leave in a host. */
async function tracesIn(lab: Lab): Promise<string> {
  const { stdout, stderr, code } = await lab.exec(
    `set -e
     xl list | awk 'NR > 1 { print "domain", $1, $2 }'
     losetup -a | sed 's/^/loop /'
     ls /sys/class/net | sed 's/^/interface /'
     xenstore-ls -f | grep -v '^/local/domain/0/memory/' | sed 's/^/node /'
     ls -A /run/bulkhead | sed 's/^/run /'`,
  )
  if (code !== 0) throw new Error(`Cannot look for what is left behind: ${stderr}`)
  return stdout
}
