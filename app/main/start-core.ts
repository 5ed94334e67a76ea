// Starting the core host of this machine from a source tree: root's work, asked for by polkit's own dialog. An
// installed package has a systemd socket and never gets here. docs/contracts/control.md says who may use it then.

export interface StartCoreOptions {
  readonly nodePath: string
  readonly coreHostPath: string
  readonly socketPath: string
  readonly userId: number
}

export interface Command {
  readonly file: string
  readonly args: readonly string[]
}

/** The command; pkexec passes no environment on, so that everything is an argument. */
export function startCoreCommand({ nodePath, coreHostPath, socketPath, userId }: StartCoreOptions): Command {
  const args = [coreHostPath, '--listen', socketPath]
  return userId === 0 ? { file: nodePath, args } : { file: 'pkexec', args: [nodePath, ...args] }
}
