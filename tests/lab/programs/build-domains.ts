// Runs in dom0: builds domains as told by a JSON list of lists on standard input, those of one list at once,
// and says for each what came of it as a line of JSON. A domain that starts is watched through its console
// until it stops; all are destroyed in the end.

import { execFileSync } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { PollSet } from '../../../core/sys/poll-set.ts'
import type { BuiltDomain } from '../../../core/xen/build/domain-builder.ts'
import { buildDomain, type DomainSpec } from '../../../core/xen/build/domain-builder.ts'
import { introduceDomain } from '../../../core/xen/domain-nodes.ts'
import { EventChannelDevice } from '../../../core/xen/event-channel-device.ts'
import { openHypercalls } from '../../../core/xen/hypercalls.ts'
import { type Hypervisor, openHypervisor } from '../../../core/xen/hypervisor.ts'
import { ConsolePage } from '../../../core/xen/ring/console-ring.ts'
import { openXenstore } from '../../../core/xen/xenstore/open.ts'

export interface BuildOrder {
  readonly spec: DomainSpec
  /** Whether to start it; otherwise it is destroyed as soon as it is there. */
  readonly start?: boolean
  /** Aborts the build after so many milliseconds. */
  readonly abortAfterMs?: number
}

export interface BuildResult {
  readonly error?: { readonly code: string; readonly name: string; readonly message: string }
  readonly ms: number
  readonly timings?: BuiltDomain['timings']
  readonly xlList?: string
  readonly console?: string
  readonly shutdownReason?: string | undefined
  /** Domains besides dom0 when all was over, those that are dying not counted. */
  readonly domainsLeft: number
}

const hypervisor = openHypervisor()
const rounds = JSON.parse(await text(process.stdin)) as readonly (readonly BuildOrder[])[]
for (const orders of rounds) {
  const attempts = await Promise.all(orders.map(build))
  for (const attempt of attempts)
    if (attempt.domain !== undefined) await hypervisor.destroy(attempt.domain.domid)
  for (const { domain: _, ...result } of attempts) {
    process.stdout.write(`${JSON.stringify({ ...result, domainsLeft: domainsLeft(hypervisor) })}\n`)
  }
}

type Attempt = Omit<BuildResult, 'domainsLeft'> & { readonly domain?: BuiltDomain }

async function build({ spec, start = false, abortAfterMs }: BuildOrder): Promise<Attempt> {
  const began = performance.now()
  const signal = abortAfterMs === undefined ? undefined : AbortSignal.timeout(abortAfterMs)
  try {
    const domain = await buildDomain(spec, { signal })
    const ms = performance.now() - began
    return { ms, timings: domain.timings, domain, ...(start ? await run(domain, spec) : {}) }
  } catch (cause) {
    const { name, message, code = '' } = cause as Error & { code?: string | number }
    return { error: { name, message, code: String(code) }, ms: performance.now() - began }
  }
}

async function run(domain: BuiltDomain, spec: DomainSpec): Promise<Partial<BuildResult>> {
  using hypercalls = openHypercalls()
  using xenstore = await openXenstore()
  const { memoryMiB, maxMemoryMiB, vcpus, uuid } = spec
  const name = `test-${domain.domid}`
  await introduceDomain(xenstore, {
    ...domain,
    uuid,
    guestId: uuid,
    name,
    memoryMiB,
    maxMemoryMiB,
    vcpus,
    disks: [],
    interfaces: [],
  })
  const xlList = execFileSync('xl', ['list'], { encoding: 'utf8' })

  using channels = new EventChannelDevice()
  const port = channels.bind(domain.domid, domain.consolePort)
  using mapping = hypercalls.privcmd.mapForeign(domain.domid, BigUint64Array.of(BigInt(domain.consoleFrame)))
  const page = new ConsolePage(mapping.buffer)
  const events = new PollSet([channels.fd])
  hypervisor.unpause(domain.domid)
  const written: Uint8Array[] = []
  for (;;) {
    const output = page.take()
    if (output !== undefined) {
      written.push(output)
      channels.notify(port)
      continue
    }
    const info = hypervisor.domain(domain.domid)
    if (info === undefined || info.shutdownReason !== undefined) {
      return {
        xlList,
        console: Buffer.concat(written).toString('latin1'),
        shutdownReason: info?.shutdownReason,
      }
    }
    events.wait(1000)
    for (const fired of channels.read() ?? [port]) channels.unmask(fired)
  }
}

function domainsLeft({ domains }: Hypervisor): number {
  return domains().filter(({ domid, isDying }) => domid !== 0 && !isDying).length
}
