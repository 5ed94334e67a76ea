// The core host: puts the parts together, serves until it is told to end. DESIGN 2.
// It can be killed at any moment: domains keep running, and the next one adopts them.
import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }
import { BulkheadError } from '../errors.ts'
import { type ImageWorkerClient, startImageWorker } from '../oci/image-worker-client.ts'
import { proxySettingsOf } from '../oci/registry/proxy-rules.ts'
import { RingBudget } from '../runtime/broker/byte-ring.ts'
import { EventHub } from '../runtime/event-hub.ts'
import { systemKernelPlaces } from '../runtime/guest-kernel.ts'
import { Guests } from '../runtime/guests.ts'
import type { HostServices } from '../runtime/host-services.ts'
import { Images } from '../runtime/images.ts'
import { Jobs } from '../runtime/jobs.ts'
import { LoopPool } from '../runtime/loop-pool.ts'
import { EngineNetwork } from '../runtime/network/engine-network.ts'
import { warmUp } from '../runtime/warm-up.ts'
import { ensureDom0Nodes } from '../xen/domain-nodes.ts'
import { openHypervisor } from '../xen/hypervisor.ts'
import { startRingWorker } from '../xen/ring/ring-worker-client.ts'
import { openXenstore } from '../xen/xenstore/open.ts'
import { createHandlers } from './handlers.ts'
import { readNetworkSettings, systemNetworkFile } from './network-settings.ts'
import { type CoreHostOptions, parseOptions } from './options.ts'
import { HostRegistries } from './registries/host-registries.ts'
import { serveRpc } from './rpc.ts'
import { CoreServer } from './server.ts'
import { Tickets } from './tickets.ts'
import { imageUser, networkUser } from './worker-users.ts'

const { version } = packageJson
const now = () => Date.now()

function log(message: string): void {
  process.stderr.write(`${new Date().toISOString()} ${message}\n`)
}

async function run(options: CoreHostOptions): Promise<void> {
  await using parts = new AsyncDisposableStack()
  await mkdir(options.stateFolder, { recursive: true, mode: 0o711 })
  await chmod(options.stateFolder, 0o711)
  await mkdir(options.runtimeFolder, { recursive: true, mode: 0o755 })

  const hypervisor = parts.use(openHypervisor())
  const rings = parts.use(await startRingWorker())
  const xenstore = parts.use(await openXenstore({ transport: options.xenstoreTransport }))
  const events = new EventHub()
  const jobs = new Jobs(events, now)
  const tickets = new Tickets()
  parts.defer(() => tickets.close())
  const worker = parts.use(
    await startImageWorker({
      root: options.stateFolder,
      rootImageFormat: options.rootImageFormat,
      ...imageUser(),
      log,
    }),
  )
  parts.defer(() => jobs.close())
  const images = new Images({
    worker,
    jobs,
    events,
    registries: new HostRegistries({
      settingsFile: options.registriesFile,
      proxy: proxySettingsOf(process.env),
    }),
    usersOf: (digest) => guests.usersOf(digest),
    inUse: () => guests.digestsInUse,
  })
  const network = parts.use(
    await EngineNetwork.open({
      settings: await readNetworkSettings(options.networkFile ?? systemNetworkFile),
      version,
      socketPath: join(options.runtimeFolder, 'net.sock'),
      namespacePath: join(options.runtimeFolder, 'netns'),
      ...networkUser(),
      log,
      onEngine: (engine) => events.publish({ type: 'network', engine }),
      onPortsLost: (id) => guests.portsChanged(id),
    }),
  )
  const fatal = Promise.withResolvers<string>()
  const services: HostServices = {
    hypervisor,
    xenstore,
    rings,
    images,
    loops: new LoopPool(),
    network,
    events,
    budget: new RingBudget(),
    stateFolder: options.stateFolder,
    logFolder: options.logFolder,
    guestInitPath: options.guestInitPath ?? join(import.meta.dirname, '../guest-init/guest-init'),
    kernels:
      options.kernelFolder === undefined
        ? systemKernelPlaces
        : { ...systemKernelPlaces, bundled: options.kernelFolder },
    now,
    log,
    fatal: fatal.resolve,
  }
  const guests: Guests = new Guests(services)
  await ensureDom0Nodes(xenstore)
  await guests.open()
  network.settled()
  await sweepImages(worker, guests.digestsInUse)
  parts.defer(() => guests.close())

  const handlers = createHandlers({
    services,
    guests,
    jobs,
    tickets,
    facts: { version, isLab: options.lab !== undefined },
  })
  const server = await CoreServer.start({
    socketPath: options.socketPath,
    listenFd: listenFd(),
    ownerUid: options.ownerUid,
    lab:
      options.lab === undefined
        ? undefined
        : { ...options.lab, token: readFileSync(options.lab.tokenFile, 'utf8').trim() },
    version,
    redeemTicket: (ticket) => tickets.redeem(ticket),
    serveRpc: (socket, role) =>
      serveRpc(socket, role, {
        handlers,
        revision: () => events.revision,
        subscribe: (listener) => events.subscribe(listener),
        log,
      }),
    log,
  })
  parts.defer(() => server.close())
  log(`Bulkhead ${version} serves ${options.socketPath} on Xen ${hypervisor.version}`)
  const warming = new AbortController()
  parts.defer(() => warming.abort())
  void warmUp(services, options.rootImageFormat, warming.signal) // never rejects, and nobody waits for it
  const reason = await Promise.race([
    signalled(),
    xenstore.closed.then(({ message }) => message),
    fatal.promise,
  ])
  log(`Ending: ${reason}`)
  if (!reason.startsWith('SIG')) process.exitCode = 1
}

/** A store that is damaged does not keep guests from running, nor itself from being repaired. */
async function sweepImages(worker: ImageWorkerClient, inUse: readonly string[]): Promise<void> {
  try {
    const freedBytes = await worker.sweep(inUse)
    if (freedBytes > 0) log(`Freed ${freedBytes} bytes of images that nobody names any more`)
  } catch (error) {
    if (!(error instanceof BulkheadError)) throw error
    log(`${error.message}${error.hint === undefined ? '' : `. ${error.hint}`}`)
  }
}

/** The socket that systemd listens on for us (sd_listen_fds(3)). */
function listenFd(): number | undefined {
  return process.env.LISTEN_PID === String(process.pid) && process.env.LISTEN_FDS === '1' ? 3 : undefined
}

function signalled(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => resolve(signal))
  })
}

try {
  if (!existsSync('/proc/self')) throw new Error('/proc is not mounted')
  await run(parseOptions(process.argv.slice(2)))
} catch (error) {
  log(
    error instanceof BulkheadError
      ? `${error.message}${error.hint === undefined ? '' : `. ${error.hint}`}`
      : String(error instanceof Error ? error.stack : error),
  )
  process.exitCode = 1
}
process.exit()
