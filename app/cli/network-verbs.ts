// The verbs for guests' network.
import type { Verb } from './verbs.ts'

const network = (verb: Omit<Verb, 'group'>): Verb => ({ ...verb, group: 'Network' })

export const networkVerbs: readonly Verb[] = [
  network({
    name: 'port',
    summary: 'Show which ports of the host lead into a guest',
    load: () => import('./commands/port.ts'),
  }),
  network({
    name: 'net ls',
    summary: 'List guests with their addresses and published ports',
    load: () => import('./commands/net-ls.ts'),
  }),
  network({
    name: 'net publish',
    summary: 'Open ports of the host into a guest that runs',
    load: () => import('./commands/net-publish.ts'),
  }),
  network({
    name: 'net unpublish',
    summary: 'Close published ports of a guest',
    load: () => import('./commands/net-unpublish.ts'),
  }),
  network({
    name: 'net connect',
    summary: "Connect standard input and output to a guest's TCP port",
    load: () => import('./commands/net-connect.ts'),
  }),
  network({
    name: 'net stats',
    summary: "Show what passed on guests' wires, and what was not carried",
    load: () => import('./commands/net-stats.ts'),
  }),
  network({
    name: 'net flows',
    summary: 'List the connections of guests',
    load: () => import('./commands/net-flows.ts'),
  }),
  network({
    name: 'net capture',
    summary: "Record a guest's frames, for tshark and Wireshark",
    load: () => import('./commands/net-capture.ts'),
  }),
]
