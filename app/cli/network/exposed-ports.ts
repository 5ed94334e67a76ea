// `--publish-all`: what an image exposes, and what `--expose` adds, each at a port that the host chooses.
import type { ParamsOf, PublishedPort } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { combinePorts, parseGuestPorts } from '../options/publish.ts'
import type { RunOptions } from '../options/run-line.ts'
import { printable } from '../output/printable.ts'

type GuestSpec = ParamsOf<'guests.create'>
type GuestPort = Pick<PublishedPort, 'protocol' | 'guestPort'>

/** `spec` with those ports, unless `--publish-all` was not given. Rejects with `oci.not-found` where the image is not here. */
export async function withExposedPorts(
  context: CliContext,
  spec: GuestSpec,
  { publishAll, expose, quiet }: Pick<RunOptions, 'publishAll' | 'expose' | 'quiet'>,
): Promise<GuestSpec> {
  if (!publishAll) return spec
  const client = await context.connect()
  const { run } = await client.request('images.inspect', { image: spec.image })
  const exposed = [
    ...run.exposedPorts.filter((words) => !/\/sctp$/i.test(words)).flatMap(parseGuestPorts),
    ...expose,
  ]
  if (exposed.length === 0 && !quiet)
    await context.note(`bulkhead: No ports were published: the image ${printable(spec.image)} exposes none`)
  const published = (spec.network?.ports ?? []).map((port) => ({ ...port, bind: port.bind ?? '' }))
  for (const port of exposed)
    if (!published.some((other) => isSame(other, port))) published.push({ ...port, bind: '', hostPort: 0 })
  return published.length === 0
    ? spec
    : { ...spec, network: { ...spec.network, ports: combinePorts(published) } }
}

function isSame(one: GuestPort, other: GuestPort): boolean {
  return one.guestPort === other.guestPort && one.protocol === other.protocol
}
