// The thread that builds domains, an entry of its own in the bundle: each step of a build blocks for
// milliseconds, which the event loop of the core host must not. It lives as long as its host and keeps
// kernels mapped between builds.

import { parentPort } from 'node:worker_threads'
import { destroyDomain } from '../domctl.ts'
import { openHypercalls } from '../hypercalls.ts'
import { listDomains } from '../sysctl.ts'
import { type BuildReply, type BuildRequest, toPlainError } from './build-messages.ts'
import type { BuiltDomain } from './build-spec.ts'
import { KernelLibrary } from './kernel-library.ts'
import { MappedFiles } from './mapped-files.ts'
import { type BuilderTools, buildPvDomain } from './pv-builder.ts'

if (parentPort === null) throw new Error('The build worker must be started as a worker thread')
const port = parentPort

const files = new MappedFiles()
const kernels = new KernelLibrary(files)
const running = new Map<number, AbortController>()
let openedTools: BuilderTools | undefined

port.on('message', (request: BuildRequest) => {
  if (request.kind === 'abort') running.get(request.id)?.abort()
  else void serve(request)
})

/** Opened with the first request, so that a failure (no Xen here) is that request's. */
function tools(): BuilderTools {
  openedTools ??= { hypercalls: openHypercalls(), files, kernels }
  return openedTools
}

type WorkRequest = Exclude<BuildRequest, { kind: 'abort' }>

/** Answers exactly once, whatever happens. */
async function serve(request: WorkRequest): Promise<void> {
  const { id } = request
  const controller = new AbortController()
  running.set(id, controller)
  const reply = (message: BuildReply) => port.postMessage(message)
  try {
    await perform(request, controller.signal, (domain) => reply({ kind: 'done', id, domain }))
  } catch (error) {
    reply({ kind: 'failed', id, error: toPlainError(error) })
  } finally {
    running.delete(id)
  }
}

async function perform(
  request: WorkRequest,
  signal: AbortSignal,
  done: (domain?: BuiltDomain) => void,
): Promise<void> {
  switch (request.kind) {
    case 'build': {
      const { domain, finish } = await buildPvDomain(tools(), request.spec, signal)
      done(domain)
      // After the answer: unmapping takes a fifth of the time of a build, and nobody needs to wait for it.
      finish()
      return
    }
    case 'prepare': {
      using _kernel = await kernels.open(request.kernel, signal)
      done()
      return
    }
    case 'discard': {
      const { hypercalls } = tools()
      for (const { uuid, domid } of listDomains(hypercalls)) {
        if (uuid === request.uuid) await destroyDomain(hypercalls, domid)
      }
      done()
      return
    }
  }
}
