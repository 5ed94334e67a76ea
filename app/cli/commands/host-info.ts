// `bulkhead host info`: what the Xen host is and has.
import type { Command } from 'commander'
import type { HostInfo } from '../../../core/api/methods.ts'
import type { CliContext } from '../cli-context.ts'
import { describeExamples } from '../examples.ts'
import { printable } from '../output/printable.ts'
import { byteSize } from '../output/quantities.ts'

export function configure(command: Command): void {
  command.option('--json', 'print JSON', false)
  describeExamples(command, [
    ['host info', 'the host that commands go to'],
    ['--host lab host info', "the lab's"],
  ])
}

export async function run(context: CliContext, command: Command): Promise<number> {
  const client = await context.connect()
  const info = await client.request('host.info', {})
  if (command.opts<{ json: boolean }>().json) await context.printJson(info)
  else await context.print(hostInfoText(info, client.target.label))
  return 0
}

/** Names and values, a line each. */
export function hostInfoText(info: HostInfo, label: string): string {
  const { xen, dom0, guests } = info
  const foreign = guests.foreign > 0 ? `, ${guests.foreign} of others` : ''
  const lines = [
    ['Core host', `${info.version}, ${label}${info.lab ? ' (built-in lab)' : ''}`],
    ['Xen', `${xen.version}${xen.hvm ? '' : ', no hardware virtualisation'}`],
    ['Xen options', xen.commandLine],
    ['Memory', `${xen.freeMemoryMiB} MiB free of ${xen.totalMemoryMiB} MiB`],
    ['Processors', `${xen.cpus} at ${Math.round(xen.cpuKhz / 1000)} MHz`],
    ['Guest types', xen.capabilities.join(' ')],
    [
      'dom0',
      `${dom0.hostname}, Linux ${dom0.kernel}, ${dom0.memoryMiB} MiB, ${dom0.vcpus} vCPUs, Node ${dom0.node}`,
    ],
    ['Guests', `${guests.running} running of ${guests.total}${foreign}`],
    ['Images', String(info.images)],
    ['State', `${info.stateDirectory}, ${byteSize(info.storeFreeBytes)} free`],
  ]
  return lines.map(([name = '', value = '']) => `${`${name}:`.padEnd(13)} ${printable(value)}\n`).join('')
}
