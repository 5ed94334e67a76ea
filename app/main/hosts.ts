// Starting hosts from the app: the lab by its own command, the core host of this dom0 by way of polkit. Both are
// processes of their own: building a lab takes the event loop for itself.
import { join } from 'node:path'
import { defaultSocketPath } from '../../core/api/wire.ts'
import { findNode, projectRoot } from '../../lab/project-files.ts'
import { runToEnd, runUntilItListens, type StartOptions } from './host-process.ts'
import { startCoreCommand } from './start-core.ts'

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
