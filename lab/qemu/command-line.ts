// How QEMU is started. The same machine has to come out for the snapshot and for every restore of it, so all that
// shapes the machine is decided here, and in nothing but `MachineOptions`.

import { createHash } from 'node:crypto'
import { accessSync, constants, readFileSync } from 'node:fs'
import { controlPortName } from '../agent/protocol.ts'
import { runTool } from '../run-tool.ts'

export interface MachineOptions {
  /** All of the machine's memory. */
  readonly memoryMiB: number
  readonly dom0MemoryMiB: number
  readonly accelerator: Accelerator
  readonly xen: string
  readonly vmlinux: string
  readonly initramfs: string
  readonly runtimeDisk: string
}

/** What differs between the machines that come from one snapshot. */
export interface MachineFiles {
  readonly ram: string
  /** The snapshot's machine writes its memory to the file; restored ones keep their changes to themselves. */
  readonly isRamShared: boolean
  readonly coreDisk: string
  readonly stateDisk: string
  /** Forget the state disk's flushes: for labs that nobody wants to have after a crash of the host. */
  readonly isDisposable: boolean
  readonly isIncoming: boolean
}

export interface Accelerator {
  readonly kind: 'kvm' | 'tcg'
  /** Why it is this one, for people. */
  readonly reason: string
  /** Changes with everything on this machine that a snapshot depends on. */
  readonly key: string
}

/** File descriptors that QEMU inherits: one socket each for QMP, the agent's control port, and the serial console. */
export const qmpFile = 3
export const controlPortFile = 4
export const consoleFile = 5

/** KVM only where the CPU can run Xen in it (/dev/kvm alone proves nothing) and where this user may use it. */
export async function findAccelerator(): Promise<Accelerator> {
  const version = (await runTool(['qemu-system-x86_64', '--version'])).toString().split('\n')[0] ?? ''
  const cpu = readFileSync('/proc/cpuinfo', 'utf8').split('\n\n')[0] ?? ''
  const flags = /^flags\s*:(.*)$/m.exec(cpu)?.[1]?.trim() ?? ''
  const model = /^model name\s*:(.*)$/m.exec(cpu)?.[1]?.trim() ?? ''
  const { kind, reason } = chooseAccelerator(flags)
  const key = createHash('sha256')
    .update(`${kind}\n${version}\n${model}\n${flags}`)
    .digest('hex')
    .slice(0, 16)
  return { kind, reason, key }
}

function chooseAccelerator(flags: string): Pick<Accelerator, 'kind' | 'reason'> {
  if (!/\b(vmx|svm)\b/.test(flags))
    return { kind: 'tcg', reason: 'emulated: the CPU offers no virtualisation here' }
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
    return { kind: 'kvm', reason: 'with KVM' }
  } catch {
    return { kind: 'tcg', reason: 'emulated: this user may not open /dev/kvm' }
  }
}

/** Xen's command line. One dom0 vCPU makes xenstore answer within 1 ms instead of 21–35 ms under emulation. */
const xenArguments = (dom0MemoryMiB: number, isTcg: boolean) =>
  [
    `dom0_mem=${dom0MemoryMiB}M,max:${dom0MemoryMiB}M dom0_max_vcpus=1`,
    'console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all',
    // Memory is zero at the start; scrubbing it would only make the snapshot's memory file large.
    'no-bootscrub spec-ctrl=no ucode=no',
    // Registers were seen to change under emulated programs: docs/decisions/lab-without-xsave.md.
    ...(isTcg ? ['xsave=0'] : []),
  ].join(' ')

const dom0Arguments =
  'console=hvc0 rdinit=/init net.ifnames=0 quiet mitigations=off random.trust_cpu=on panic=1'

/** Careful: with `rdtscp` PVH guests die under TCG on an instruction-length mismatch, and with `smap` dom0 does. */
const tcgCpu = 'max,+svm,+npt,+rdrand,-rdtscp,-la57,-smap,-smep'

export function machineArguments(options: MachineOptions, files: MachineFiles): string[] {
  const isTcg = options.accelerator.kind === 'tcg'
  return [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-vga', 'none'],
    ...['-machine', 'q35,memory-backend=ram,vmport=off'],
    ...['-accel', isTcg ? 'tcg,thread=multi' : 'kvm'],
    ...['-cpu', isTcg ? tcgCpu : 'host,migratable=on'],
    ...['-smp', '2', '-m', `${options.memoryMiB}M`],
    ...['-object', ramBackend(options.memoryMiB, files)],
    ...['-kernel', options.xen, '-append', xenArguments(options.dom0MemoryMiB, isTcg)],
    ...['-initrd', `${escapeComma(options.vmlinux)} ${dom0Arguments},${escapeComma(options.initramfs)}`],
    ...['-chardev', `socket,id=qmp,fd=${qmpFile}`, '-mon', 'chardev=qmp,mode=control'],
    ...['-chardev', `socket,id=console,fd=${consoleFile}`, '-serial', 'chardev:console'],
    ...disk('runtime', '02', `${escapeComma(options.runtimeDisk)},read-only=on`),
    ...disk('core', '03', `${escapeComma(files.coreDisk)},read-only=on`),
    ...disk(
      'state',
      '04',
      `${escapeComma(files.stateDisk)},discard=unmap,detect-zeroes=unmap${cacheMode(files)}`,
    ),
    ...['-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,addr=05,romfile='],
    ...['-device', 'virtio-serial-pci,addr=06'],
    ...['-chardev', `socket,id=control,fd=${controlPortFile}`],
    ...['-device', `virtserialport,chardev=control,name=${controlPortName}`],
    ...(files.isIncoming ? ['-incoming', 'defer'] : []),
  ]
}

function ramBackend(memoryMiB: number, files: MachineFiles): string {
  const share = files.isRamShared ? 'on' : 'off'
  return `memory-backend-file,id=ram,size=${memoryMiB}M,mem-path=${escapeComma(files.ram)},share=${share}`
}

function disk(id: string, address: string, file: string): string[] {
  return [
    ...['-drive', `if=none,id=${id},format=raw,file=${file}`],
    ...['-device', `virtio-blk-pci,drive=${id},addr=${address}`],
  ]
}

function cacheMode(files: MachineFiles): string {
  return files.isDisposable ? ',cache=unsafe' : ''
}

/** QEMU's option syntax wants a comma in a value doubled. */
function escapeComma(value: string): string {
  return value.replaceAll(',', ',,')
}
