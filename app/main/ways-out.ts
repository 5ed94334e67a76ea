// What a person can do about a failed connection: decided from the error's code and the host's kind.
import type { ConnectAction, HostLabel } from '../preload/connection-status.ts'

/** The actions to offer, the most helpful first. */
export function waysOut(code: string, hostKind: HostLabel['kind']): readonly ConnectAction[] {
  // Whoever named a socket has to see to what is behind it.
  if (hostKind === 'socket') return ['retry']
  const isAbsent = code === 'client.no-socket' || code === 'client.not-running'
  if (code === 'client.no-host' || code === 'client.no-lab') return ['start-lab', 'retry']
  if (hostKind === 'lab' && isAbsent) return ['start-lab', 'retry']
  if (hostKind === 'local' && isAbsent) return ['start-core', 'retry']
  return ['retry']
}
