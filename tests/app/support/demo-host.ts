// A scripted host with something on it: guests in every state, images, a pull under way. For pictures and for tests
// that need a populated app.
import { createHash } from 'node:crypto'
import type { ExitRecord, GuestSummary, ImageDetails } from '../../../core/api/methods.ts'
import { type HostFacts, runningJob, ScriptedHost } from './scripted-host.ts'

const hex = (seed: string) => createHash('sha256').update(seed).digest('hex')
const minutesAgo = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString()

export const demoFacts: HostFacts = {
  info: {
    version: '0.1.0',
    xen: {
      version: '4.17.5',
      capabilities: ['xen-3.0-x86_64', 'hvm-3.0-x86_64'],
      commandLine: 'placeholder dom0_mem=1536M,max:1536M dom0_max_vcpus=1 console=com1',
      totalMemoryMiB: 3055,
      freeMemoryMiB: 987,
      cpus: 2,
      cpuKhz: 2_699_998,
      hvm: true,
    },
    dom0: { hostname: 'xen-lab', kernel: '6.1.0-43-amd64', memoryMiB: 1536, vcpus: 1, node: '24.21.0' },
    guests: { running: 4, total: 8, foreign: 0 },
    images: 4,
    stateDirectory: '/var/lib/bulkhead',
    storeFreeBytes: 6_871_947_673,
    lab: true,
  },
  checks: [
    { id: 'dom0', title: 'This is a Xen control domain', passed: true, detail: 'Xen 4.17.5, control_d' },
    {
      id: 'privcmd',
      title: 'Hypercalls',
      passed: true,
      detail: '/dev/xen/privcmd and /dev/xen/hypercall open',
    },
    { id: 'xenstore', title: 'xenstored answers', passed: true, detail: 'It answered within 1 ms' },
    {
      id: 'memory',
      title: 'Memory for guests',
      passed: false,
      detail: 'Xen has 312 MiB free; a guest takes 512 MiB unless it is told otherwise',
      fix: 'xl mem-set Domain-0 1024m',
    },
  ],
}

export function guestSummary(name: string, change: Partial<GuestSummary> = {}): GuestSummary {
  return {
    id: hex(name),
    name,
    image: 'docker.io/library/busybox:latest',
    imageDigest: `sha256:${hex('busybox')}`,
    command: ['sh'],
    state: 'running',
    mode: 'pv',
    memoryMiB: 512,
    vcpus: 1,
    createdAt: minutesAgo(12),
    startedAt: minutesAgo(12),
    domid: 3,
    terminal: true,
    autoRemove: false,
    ports: [],
    ...change,
  }
}

export function exitRecord(change: Partial<ExitRecord> = {}): ExitRecord {
  return {
    reason: 'exited',
    code: 0,
    message: 'The program ended with status 0',
    finishedAt: minutesAgo(3),
    ...change,
  }
}

export function imageDetails(reference: string, change: Partial<ImageDetails> = {}): ImageDetails {
  return {
    reference,
    digest: `sha256:${hex(reference)}`,
    createdAt: minutesAgo(60 * 24 * 9),
    pulledAt: minutesAgo(200),
    sizeBytes: 2_210_400,
    platform: 'linux/amd64',
    usedBy: [],
    configDigest: `sha256:${hex(`${reference} config`)}`,
    architecture: 'amd64',
    os: 'linux',
    layers: [
      {
        digest: `sha256:${hex(`${reference} layer`)}`,
        diffId: `sha256:${hex(`${reference} diff`)}`,
        sizeBytes: 2_208_000,
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      },
    ],
    history: [],
    run: {
      entrypoint: [],
      command: ['sh'],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      cwd: '/',
      user: '',
      exposedPorts: [],
      volumes: [],
      labels: {},
    },
    ...change,
  }
}

const shell = '\u001b[1;32mroot@web\u001b[0m:\u001b[1;34m/\u001b[0m# '

/** Guests in every state, images, one pull; the guest `web` has a console with something in it. */
export function demoHost(): ScriptedHost {
  const host = new ScriptedHost(demoFacts)
  for (const [reference, sizeBytes, usedBy] of [
    ['docker.io/library/busybox:latest', 2_210_400, ['web', 'batch']],
    ['docker.io/library/debian:12-slim', 29_126_000, ['db']],
    ['docker.io/library/postgres:16', 160_400_000, ['db']],
    ['ghcr.io/example/a-rather-long-name-of-an-image:2026.11-nightly', 81_200_000, []],
  ] as const)
    host.images.set(reference, imageDetails(reference, { sizeBytes, usedBy: [...usedBy] }))

  const web = host.addGuest(
    guestSummary('web', {
      ports: [
        { protocol: 'tcp', bind: '', hostPort: 8080, guestPort: 80 },
        { protocol: 'tcp', bind: '0.0.0.0', hostPort: 8443, guestPort: 443 },
      ],
    }),
  )
  web.stdio.write(
    [
      '',
      'BusyBox v1.35.0 (Debian 1:1.35.0-4) built-in shell (ash)',
      '',
      `${shell}uname -a`,
      'Linux web 6.1.0-43-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.162-1 x86_64 GNU/Linux',
      `${shell}ls --color /`,
      ['bin', 'dev', 'etc', 'home', 'lib', 'proc', 'root', 'sys', 'tmp', 'usr', 'var']
        .map((name) => `\u001b[1;34m${name}\u001b[0m`)
        .join('   '),
      `${shell}grep MemTotal /proc/meminfo`,
      'MemTotal:         478332 kB',
      shell,
    ].join('\r\n'),
  )
  web.console.write(
    [
      '[    0.000000] Linux version 6.1.0-43-amd64 (debian-kernel@lists.debian.org)',
      '[    0.000000] Command line: loglevel=4 console=hvc0',
      '[    0.000000] Xen: using vcpuop timer interface',
      '[    0.114021] printk: console [hvc0] enabled',
      '[    0.482113] blkfront: xvda: flush diskcache: enabled; persistent grants: enabled',
      '[    0.701880] Run /init as init process',
      'guest-init: root image on /dev/xvda, upper layer in memory',
      'guest-init: ready',
      '',
    ].join('\r\n'),
  )
  host.addGuest(guestSummary('db', { image: 'docker.io/library/postgres:16', memoryMiB: 1024, vcpus: 2 }))
  host.addGuest(guestSummary('cache', { state: 'paused', createdAt: minutesAgo(40) }))
  host.addGuest(guestSummary('worker-1', { state: 'starting', createdAt: minutesAgo(0) }))
  host.addGuest(
    guestSummary('batch', {
      state: 'exited',
      exit: exitRecord(),
      createdAt: minutesAgo(90),
      terminal: false,
    }),
  )
  host.addGuest(
    guestSummary('import-2026', {
      state: 'exited',
      createdAt: minutesAgo(120),
      exit: exitRecord({ code: 7, message: 'The program ended with status 7' }),
    }),
  )
  host.addGuest(
    guestSummary('old-kernel', {
      state: 'exited',
      createdAt: minutesAgo(60 * 30),
      exit: exitRecord({ reason: 'crashed', code: 125, message: 'The guest’s kernel panicked' }),
    }),
  )
  host.addGuest(
    guestSummary('spare', {
      state: 'created',
      createdAt: minutesAgo(2),
      image: 'docker.io/library/debian:12-slim',
    }),
  )
  const pull = runningJob('pull', 'Pull nginx:1.27')
  host.putJob({
    ...pull,
    progress: { phase: 'download', bytesDone: 31_000_000, bytesTotal: 70_600_000, layers: [] },
  })
  return host
}
