// The ways from a guest's namespace to the world that are measured: each gives the guest an interface and a default route.
// Flags of pasta: without an address and a gateway of its own it gives the guest the host's address, and the test would
// measure the guest's own loopback; with the gateway mapped to the host it would not be the network that is measured.
import type { Namespace } from '../../tests/network/support/namespace.ts'
import { type NetworkLab, WORLD } from '../../tests/network/support/network-lab.ts'
import type { Program } from '../../tests/network/support/program.ts'

/** What the guest has of a way that runs. */
export interface RunningWay {
  readonly guest: Namespace
  /** Of the program that carries the frames; there is none where the kernel does. */
  readonly pid: number | undefined
}

export interface Way {
  readonly name: string
  /** Ends with the lab. */
  start(lab: NetworkLab): Promise<RunningWay>
}

export const PASTA_LARGE = 'pasta, MTU 65520'
export const PASTA_SMALL = 'pasta, MTU 1500'
export const SLIRP = 'slirp4netns, MTU 65520'
export const VETH = 'bare veth'

export const peers: readonly Way[] = [
  pasta(PASTA_LARGE, 65_520),
  pasta(PASTA_SMALL, 1500),
  {
    name: SLIRP,
    async start(lab) {
      const guest = await lab.namespace('guest')
      const program = lab.serve(
        lab.host,
        ...['slirp4netns', '--configure', '--mtu=65520', '--netns-type=path', guest.path, 'eth0'],
      )
      return { guest, pid: await whenConfigured(guest, program) }
    },
  },
  {
    name: VETH,
    async start(lab) {
      const guest = await lab.namespace('guest')
      await guest.ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'guest', 'netns', lab.world.name)
      await lab.world.ip('address', 'add', '10.75.0.1/16', 'dev', 'guest')
      await lab.world.ip('link', 'set', 'guest', 'up')
      await guest.ip('address', 'add', '10.75.0.2/16', 'dev', 'eth0')
      await guest.ip('link', 'set', 'eth0', 'up')
      await guest.ip('route', 'add', 'default', 'via', '10.75.0.1')
      return { guest, pid: undefined }
    },
  },
]

function pasta(name: string, mtu: number): Way {
  return {
    name,
    async start(lab) {
      const guest = await lab.namespace('guest')
      const program = lab.serve(
        lab.host,
        ...['pasta', '-f', '-q', '--config-net', '-4', '-a', '10.75.0.2', '-n', '16', '-g', '10.75.0.1'],
        ...['--no-map-gw', '-m', String(mtu), '-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none'],
        ...['-I', 'eth0', '--runas', '0', '--netns', guest.path],
      )
      return { guest, pid: await whenConfigured(guest, program) }
    },
  }
}

/** Waits until the program has configured the guest, which it tells nobody: until the world answers through it. */
async function whenConfigured(guest: Namespace, program: Program): Promise<number> {
  const answered = guest.run(
    ...['sh', '-c', `until ip route get ${WORLD.ipv4} >/dev/null 2>&1; do sleep 0.05; done`],
  )
  const ended = program.end.then(({ stderr }) => {
    throw new Error(`${program.name} ended: ${stderr}`)
  })
  await Promise.race([answered, ended])
  return program.pid
}
