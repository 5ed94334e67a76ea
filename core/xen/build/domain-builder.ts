// Builds domains on a worker thread that is started with the first and kept; the entry point of
// core/xen/build.

import { Worker } from 'node:worker_threads'
import { BuildError } from './build-error.ts'
import { type BuildReply, type BuildRequest, fromPlainError } from './build-messages.ts'
import type { BuiltDomain, DomainSpec, InitrdPart } from './build-spec.ts'
import type { KernelChoice } from './kernel-library.ts'

export type { BuiltDomain, DomainSpec, InitrdPart } from './build-spec.ts'

export interface BuildOptions {
  readonly signal?: AbortSignal | undefined
}

/**
 * Builds a PV domain: memory, kernel, initrd, page tables, first vCPU and the grants of its rings. It is left
 * paused once and without xenstore nodes. When building fails or is aborted, the domain is destroyed again;
 * an abort that comes after the last step is too late, and the domain is returned. Throws an error with a
 * code `build.…`, `kernel.…` or `xen.…`, or the signal's reason.
 */
export async function buildDomain(spec: DomainSpec, { signal }: BuildOptions = {}): Promise<BuiltDomain> {
  // Copies, because a message would carry the whole buffer that a view shows a part of.
  const initrd = spec.initrd.map(
    (part): InitrdPart => ('bytes' in part ? { bytes: part.bytes.slice() } : part),
  )
  const domain = await currentWorker().request({ kind: 'build', spec: { ...spec, initrd } }, signal)
  if (domain === undefined) throw workerFailed('it answered without a domain')
  return domain
}

/** Gets a kernel ready ahead of its first guest: decompressed, mapped, and searched for empty pages. */
export async function prepareKernel(kernel: KernelChoice, { signal }: BuildOptions = {}): Promise<void> {
  await currentWorker().request({ kind: 'prepare', kernel }, signal)
}

type Unnumbered<Request> = Request extends unknown ? Omit<Request, 'id'> : never
type WorkRequest = Unnumbered<Exclude<BuildRequest, { kind: 'abort' }>>

interface Pending {
  readonly request: WorkRequest
  readonly resolve: (domain: BuiltDomain | undefined) => void
  readonly reject: (error: unknown) => void
}

let worker: BuildWorker | undefined

function currentWorker(): BuildWorker {
  worker ??= new BuildWorker((unfinished) => {
    worker = undefined
    // A dead thread destroys nothing: the next one does it first. Should that fail too, the domain is found
    // by its UUID when the core host starts again.
    for (const uuid of unfinished) {
      currentWorker()
        .request({ kind: 'discard', uuid }, undefined)
        .catch(() => undefined)
    }
  })
  return worker
}

class BuildWorker {
  readonly #thread: Worker
  readonly #pending = new Map<number, Pending>()
  #nextId = 1

  /** `onDeath` gets the UUIDs of domains that were being built. */
  constructor(onDeath: (uuids: readonly string[]) => void) {
    // As TypeScript when run from source, bundled beside this file otherwise.
    const entry = import.meta.url.endsWith('.ts') ? './build-worker.ts' : './build-worker.js'
    this.#thread = new Worker(new URL(entry, import.meta.url), { name: 'build-worker' })
    this.#thread.unref()
    this.#thread.on('message', (reply: BuildReply) => this.#settle(reply))
    let cause: unknown
    this.#thread.on('error', (error) => {
      cause = error
    })
    this.#thread.on('exit', (status) => {
      const unfinished = [...this.#pending.values()]
      this.#pending.clear()
      onDeath(unfinished.flatMap(({ request }) => (request.kind === 'build' ? [request.spec.uuid] : [])))
      const reason = cause instanceof Error ? cause.message : `it ended with status ${status}`
      for (const { reject } of unfinished) reject(workerFailed(reason, cause))
    })
  }

  async request(request: WorkRequest, signal: AbortSignal | undefined): Promise<BuiltDomain | undefined> {
    signal?.throwIfAborted()
    const id = this.#nextId++
    const abort = () => this.#post({ kind: 'abort', id })
    signal?.addEventListener('abort', abort, { once: true })
    try {
      return await new Promise((resolve, reject) => {
        this.#pending.set(id, { request, resolve, reject })
        // The process stays alive while it waits for an answer, and only then.
        this.#thread.ref()
        this.#post({ ...request, id })
      })
    } catch (error) {
      throw signal?.aborted ? signal.reason : error
    } finally {
      // Still there when the request could not even be sent.
      this.#pending.delete(id)
      signal?.removeEventListener('abort', abort)
      if (this.#pending.size === 0) this.#thread.unref()
    }
  }

  #post(request: BuildRequest): void {
    this.#thread.postMessage(request)
  }

  #settle(reply: BuildReply): void {
    const pending = this.#pending.get(reply.id)
    this.#pending.delete(reply.id)
    if (reply.kind === 'done') pending?.resolve(reply.domain)
    else pending?.reject(fromPlainError(reply.error))
  }
}

function workerFailed(reason: string, cause?: unknown): BuildError {
  return new BuildError(
    'worker-failed',
    `Cannot build domain: the thread that builds domains failed, ${reason}`,
    { cause },
  )
}
