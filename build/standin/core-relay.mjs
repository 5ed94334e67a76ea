// A socket that belongs to the app's user and leads to the core host's, which that user may not open: the lab's lies
// in root's cache folder, and another user is nobody to the core host. Each connection is carried over as it is; who
// can reach this socket has root's right at the core host, so it lies in a folder that only the app can enter.
import { chmodSync, chownSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { resolveTarget as resolveCoreTarget } from '../../core/client/target.ts'
import { findLab } from '../../lab/find-lab.ts'

/** The core host that the command line would talk to. */
function usualTarget() {
  return resolveCoreTarget({ findLab })
}

/** Listens at `path` for the user `owner`; asks `resolveTarget` anew for each connection. */
export async function startCoreRelay(path, owner, resolveTarget = usualTarget) {
  const server = createServer({ allowHalfOpen: true }, (near) => {
    near.on('error', () => near.destroy())
    resolveTarget().then(
      ({ socketPath }) => carry(near, socketPath),
      (error) => refuse(near, error),
    )
  })
  await new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  chownSync(path, owner.uid, owner.gid)
  chmodSync(path, 0o600)
  return { path, close: () => server.close() }
}

function carry(near, socketPath) {
  const far = connect({ path: socketPath, allowHalfOpen: true })
  let isCarried = false
  far.on('connect', () => {
    isCarried = true
  })
  far.on('error', (error) => {
    if (isCarried) near.destroy()
    else refuse(near, { message: `Cannot reach the core host: ${error.message}` })
  })
  near.on('close', () => far.destroy())
  far.on('close', () => {
    if (isCarried) near.destroy()
  })
  near.pipe(far)
  far.pipe(near)
}

/** The contract's own word for it (docs/contracts/control.md), so that the app shows why. */
function refuse(near, { code = 'client.unreachable', message, hint }) {
  if (!near.destroyed) near.end(`refused ${JSON.stringify({ code, message, hint })}\n`)
}
