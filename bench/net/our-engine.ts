// Our engine as a way: the real process, on a TAP with a guest configured as guest-init does it.
import { TestEngine } from '../../tests/network/support/test-engine.ts'
import type { Way } from './ways.ts'

export const ours: Way = {
  name: 'Bulkhead, MTU 1500',
  async start(lab) {
    const engine = await TestEngine.start(lab)
    const { namespace } = await engine.addGuest()
    return { guest: namespace, pid: engine.pid }
  },
}
