// Starting the core host of this machine from a source tree: root's work, asked for by polkit's own dialog. An
// installed package has a systemd socket and never gets here.

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
export function startCoreCommand(options: StartCoreOptions): Command {
  const { nodePath, coreHostPath, socketPath, userId } = options
  const core = [nodePath, coreHostPath, '--listen', socketPath, '--owner', String(userId)]
  if (userId === 0) return { file: nodePath, args: core.slice(1) }
  return { file: 'pkexec', args: core }
}
