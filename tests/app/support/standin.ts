// The stand-in's launcher, a plain script, with the types that tests need.
import type { ChildProcess } from 'node:child_process'
import type { CoreTarget } from '../../../core/client/target.ts'

export interface StandinOptions {
  readonly headless?: boolean
  readonly environment?: Readonly<Record<string, string>>
  readonly args?: readonly string[]
  readonly isControlled?: boolean
  readonly output?: 'inherit' | 'pipe'
  readonly resolveTarget?: () => Promise<CoreTarget>
  readonly keepRoot?: boolean
}

interface Launcher {
  launchStandin(options: StandinOptions): Promise<ChildProcess>
}

const path = '../../../build/standin/launch.mjs'

export async function launchStandin(options: StandinOptions): Promise<ChildProcess> {
  const { launchStandin: launch } = (await import(path)) as Launcher
  return launch(options)
}
