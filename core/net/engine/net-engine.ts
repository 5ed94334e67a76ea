// The network engine: a process of its own between guests' frames and the host's sockets. docs/contracts/net.md. This entry
// only begins it anew without io_uring, in the same process: Node opens a ring before the first line of a program runs.
import { forbidIoUring, forbidNewPrivileges } from '../../sys/seccomp.ts'

const MARK = 'BULKHEAD_NET_ENGINE'
const AGAIN = 'again'

if (process.env[MARK] === AGAIN || process.execve === undefined) await import('./engine-process.ts')
else {
  forbidNewPrivileges()
  forbidIoUring()
  process.execve(
    process.execPath,
    [process.execPath, '--disable-warning=ExperimentalWarning', ...process.argv.slice(1)],
    {
      ...process.env,
      [MARK]: AGAIN,
    },
  )
}
