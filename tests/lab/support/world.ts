// A world outside for a lab: a network namespace of dom0 with servers in it, behind a cable. What guests reach there
// goes through the engine and then through dom0's own network, as it would to the internet.

import type { Lab } from '../../../lab/fixture.ts'
import { installPrograms } from './dom0-program.ts'

export const world = { ipv4: '192.0.2.1', ipv6: 'fd00:77::1' } as const
/** The end of the cable that is dom0's own. */
export const dom0InWorld = { ipv4: '192.0.2.254', ipv6: 'fd00:77::fe' } as const

const FOLDER = '/root/world'
const setUp = `set -e
ip netns add world
ip link add world0 type veth peer name eth0 netns world
ip address add ${dom0InWorld.ipv4}/24 dev world0
ip address add ${dom0InWorld.ipv6}/64 dev world0 nodad
ip link set world0 up
ip -n world link set lo up
ip -n world address add ${world.ipv4}/24 dev eth0
ip -n world address add ${world.ipv6}/64 dev eth0 nodad
ip -n world link set eth0 up
echo nameserver ${world.ipv4} > /etc/resolv.conf`

/** Makes the world; its servers run as long as the lab does. */
export async function startWorld(lab: Lab): Promise<void> {
  await installPrograms(lab, FOLDER, { world: 'tests/lab/programs/world.ts' })
  const start = `ip netns exec world node ${FOLDER}/world.js > ${FOLDER}/log 2>&1 &
until grep -q ready ${FOLDER}/log; do sleep 0.1; done`
  for (const script of [setUp, start]) {
    const { code, stderr } = await lab.exec(script)
    if (code !== 0) throw new Error(`Cannot make the world outside: ${stderr}`)
  }
}
