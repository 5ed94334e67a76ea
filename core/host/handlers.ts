// The control API's methods, each on the part that does the work.

import type { ParsedParamsOf } from '../api/methods.ts'
import type { StreamSession } from '../runtime/broker/stream-session.ts'
import type { GuestRecord } from '../runtime/guest-record.ts'
import type { Guests } from '../runtime/guests.ts'
import type { HostServices } from '../runtime/host-services.ts'
import type { Jobs } from '../runtime/jobs.ts'
import { logSession } from '../runtime/log-session.ts'
import { hostChecks } from './host-checks.ts'
import { type HostFacts, hostInfo } from './host-info.ts'
import type { Handlers } from './rpc.ts'
import type { Tickets } from './tickets.ts'

export interface HandlerParts {
  readonly services: HostServices
  readonly guests: Guests
  readonly jobs: Jobs
  readonly tickets: Tickets
  readonly facts: HostFacts
}

const done = {}

export function createHandlers({ services, guests, jobs, tickets, facts }: HandlerParts): Handlers {
  const { images, hypervisor, network } = services
  return {
    'host.info': () => hostInfo(services, guests, facts),
    'host.check': () => hostChecks(services),
    'host.dmesg': () => ({ text: hypervisor.readConsole() }),
    'images.list': () => images.list(),
    'images.inspect': ({ image }) => images.inspect(image),
    'images.pull': (params, { caller }) => ({ job: images.pull(params, caller).id }),
    'images.import': (params, { caller }) => {
      const { job, session } = images.import(params, caller)
      return { job: job.id, ticket: tickets.issue(session) }
    },
    'images.export': (params, { caller }) => {
      const { job, session } = images.export(params, caller)
      return { job: job.id, ticket: tickets.issue(session) }
    },
    'images.tag': async ({ image, name }) => ({ reference: await images.tag(image, name) }),
    'images.prune': (params) => images.prune(params),
    'images.verify': (params, { signal }) => images.verify(params, signal),
    'images.tags': (params, { signal }) => images.tags(params, signal),
    'registries.check': (params, { signal }) => images.checkRegistry(params, signal),
    'store.check': ({ repair }, { signal }) => images.check(repair, signal),
    'images.remove': ({ image, force }) => images.remove(image, force),
    'guests.create': (params) => guests.create(params),
    'guests.start': async ({ guest }, { signal }) => {
      await guests.start(guest, signal)
      return done
    },
    'guests.stop': async (params) => {
      await guests.stop(params)
      return done
    },
    'guests.kill': async (params) => {
      await guests.kill(params)
      return done
    },
    'guests.pause': async ({ guest }) => {
      await guests.pause(guest)
      return done
    },
    'guests.unpause': async ({ guest }) => {
      await guests.unpause(guest)
      return done
    },
    'guests.remove': async ({ guest, force }) => {
      await guests.remove(guest, force)
      return done
    },
    'guests.list': ({ all }) => guests.list(all),
    'guests.inspect': ({ guest }) => guests.inspect(guest),
    'guests.wait': ({ guest }, { signal }) => guests.wait(guest, signal),
    'network.list': () => network.list(),
    'network.stats': ({ guest }) => network.stats(recordOf(guests, guest)),
    'network.flows': ({ guest }) => network.flows(recordOf(guests, guest)),
    'network.publish': async (params) => ({ ports: await guests.publishPorts(params) }),
    'network.unpublish': async (params) => {
      await guests.unpublishPorts(params)
      return done
    },
    'network.capture': async ({ guest, ...options }) => ({
      ticket: tickets.issue(await network.capture(guests.find(guest).record, options)),
    }),
    'network.connect': async ({ guest, port }) => ({
      ticket: tickets.issue(await network.connect(guests.find(guest).record, port)),
    }),
    'streams.open': async (params) => ({ ticket: tickets.issue(await openStream(guests, params)) }),
    'jobs.list': () => jobs.list(),
    'jobs.get': ({ job }) => jobs.get(job),
    'jobs.leave': ({ job }, { caller }) => ({ ended: jobs.leave(job, caller) }),
    'jobs.cancel': ({ job }) => {
      jobs.cancel(job)
      return done
    },
  }
}

function recordOf(guests: Guests, key: string | undefined): GuestRecord | undefined {
  return key === undefined ? undefined : guests.find(key).record
}

async function openStream(guests: Guests, params: ParsedParamsOf<'streams.open'>): Promise<StreamSession> {
  const guest = guests.find(params.guest)
  switch (params.kind) {
    case 'stdio':
      return guest.openStdio(params)
    case 'console':
      return guest.openConsole(params.from)
    case 'logs':
      return await logSession(guest.streams, {
        source: params.source,
        follow: params.follow,
        tailLines: params.tailLines,
        terminal: params.source === 'boot' || guest.record.spec.process.terminal,
        path: params.source === 'boot' ? guest.bootLogPath : guest.stdioLogPath,
      })
    default:
      return params satisfies never
  }
}
