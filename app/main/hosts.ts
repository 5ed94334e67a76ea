// Finding and starting core hosts from the app: a lab that runs, the lab's own command, the core host of this dom0
// by way of polkit. Both are started as processes of their own: building a lab takes the event loop for itself.
import { join } from 'node:path'
import { defaultSocketPath } from '../../core/api/wire.ts'
import { status } from '../../lab/commands.ts'
import { defaultLabName } from '../../lab/lab-options.ts'
import { findNode, projectRoot } from '../../lab/project-files.ts'
import { runToEnd, runUntilItListens, type StartOptions } from './host-process.ts'
import { startCoreCommand } from './start-core.ts'

/** The core socket of a running lab. */
export async function findLab(name: string | undefined): Promise<string | undefined> {
  const lab = await status(name ?? defaultLabName)
  return lab?.coreSocket
}

/** Starts a host; fulfilled once it can be connected to, rejected with what it said last. */
export async function startHost(what: 'core' | 'lab', options: Omit<StartOptions, 'what'>): Promise<void> {
  const root = projectRoot()
  const { path: nodePath } = findNode(root)
  if (what === 'lab') {
    const command = { file: nodePath, args: [join(root, 'lab/cli.ts'), 'up'] }
    await runToEnd(command, { ...options, what: 'the lab' })
    return
  }
  const command = startCoreCommand({
    nodePath,
    coreHostPath: join(root, 'dist/core/core-host.js'),
    socketPath: defaultSocketPath,
    userId: process.getuid?.() ?? 0,
  })
  await runUntilItListens(command, defaultSocketPath, { ...options, what: 'the core host of this machine' })
}
