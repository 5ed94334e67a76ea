// What the core host and its image worker say to each other: JSON-RPC 2.0 over a socket pair (descriptor 3 of the worker).
// The worker takes foreign bytes apart and may be taken over by them, so its answers are checked against these schemas.

import { ProgressType } from 'vscode-jsonrpc'
import { z } from 'zod'
import type { ArchiveFormat } from './export/archive-plan.ts'
import { runConfigSchema } from './image-config.ts'
import { LAYER_STATES, PROGRESS_PHASES } from './progress.ts'
import type { RegistryAccess } from './registry/registry-access.ts'
import type { SignaturePolicies } from './signatures/policy.ts'

const rootImageFormatSchema = z.enum(['squashfs', 'erofs'])

export type RootImageFormatName = z.infer<typeof rootImageFormatSchema>

const catalogueEntrySchema = z.object({
  reference: z.string(),
  digest: z.string(),
  createdAt: z.string().optional(),
  pulledAt: z.string().optional(),
  sizeBytes: z.number(),
  platform: z.string(),
})

const catalogueRunConfigSchema = z.object({
  entrypoint: z.array(z.string()),
  command: z.array(z.string()),
  env: z.array(z.string()),
  cwd: z.string(),
  user: z.string(),
  stopSignal: z.string().optional(),
  exposedPorts: z.array(z.string()),
  volumes: z.array(z.string()),
  labels: z.record(z.string(), z.string()),
})

const catalogueDetailsSchema = catalogueEntrySchema.extend({
  configDigest: z.string(),
  architecture: z.string(),
  os: z.string(),
  layers: z.array(
    z.object({
      digest: z.string(),
      diffId: z.string(),
      sizeBytes: z.number(),
      mediaType: z.string(),
      entries: z.number().optional(),
      contentBytes: z.number().optional(),
    }),
  ),
  history: z.array(
    z.object({
      createdBy: z.string(),
      createdAt: z.string().optional(),
      empty: z.boolean(),
      comment: z.string(),
    }),
  ),
  run: catalogueRunConfigSchema,
  rootImageSizeBytes: z.number().optional(),
  rootImageFormat: rootImageFormatSchema.optional(),
})

const rootImageSchema = z.object({
  /** Names the file in the folder of root images: the core host makes the path itself. */
  key: z.string().regex(/^[0-9a-f]{64}$/),
  format: rootImageFormatSchema,
  digest: z.string(),
  configDigest: z.string(),
  created: z.string().optional(),
  sizeBytes: z.int().nonnegative(),
  uncompressedBytes: z.int().nonnegative(),
  entries: z.int().nonnegative(),
  runConfig: runConfigSchema,
})

/** What each method answers. */
export const RESULTS = {
  open: z.null(),
  list: z.array(catalogueEntrySchema),
  inspect: catalogueDetailsSchema,
  pull: z.object({ reference: z.string(), digest: z.string(), isNew: z.boolean() }),
  import: z.object({ references: z.array(z.string()) }),
  export: z.object({ sizeBytes: z.number() }),
  tag: z.object({ reference: z.string() }),
  remove: z.object({ untagged: z.array(z.string()), deleted: z.array(z.string()), freedBytes: z.number() }),
  prune: z.object({
    images: z.array(z.object({ reference: z.string(), digest: z.string() })),
    freedBytes: z.number(),
  }),
  check: z.object({
    blobs: z.number(),
    bytes: z.number(),
    images: z.number(),
    problems: z.array(z.object({ subject: z.string(), problem: z.string(), repaired: z.boolean() })),
  }),
  tags: z.object({ repository: z.string(), tags: z.array(z.string()), hasMore: z.boolean() }),
  checkRegistry: z.object({
    registry: z.string(),
    login: z.enum(['accepted', 'not-wanted', 'anonymous']),
  }),
  verify: z.object({
    reference: z.string(),
    digest: z.string(),
    signatures: z.array(
      z.object({
        format: z.enum(['simple-signing', 'bundle']),
        keyId: z.string(),
        signedReference: z.string().optional(),
      }),
    ),
  }),
  sweep: z.object({ freedBytes: z.number() }),
  rootImage: rootImageSchema,
} as const

export type WorkerMethod = keyof typeof RESULTS
export type ResultOf<M extends WorkerMethod> = z.infer<(typeof RESULTS)[M]>

export type CatalogueEntry = ResultOf<'list'>[number]
export type CatalogueDetails = ResultOf<'inspect'>
export type CatalogueRunConfig = CatalogueDetails['run']

/** `images.pull` of the control API, with what the host's settings have for the registry. */
export interface PullParameters extends RegistryAccess {
  readonly reference: string
  /** `linux/amd64`; this machine's when left out. */
  readonly platform?: string | undefined
  /** Which images have to be signed. */
  readonly signatures?: SignaturePolicies | undefined
}

export interface TagsParameters extends RegistryAccess {
  readonly repository: string
  /** The tag after which the page begins. */
  readonly after?: string | undefined
  readonly limit: number
}

export interface VerifyParameters extends RegistryAccess {
  readonly image: string
  /** PEM text; left out: those that the policies have for the image. */
  readonly keys?: readonly string[] | undefined
  readonly signatures: SignaturePolicies
}

export interface RemoveParameters {
  readonly image: string
  readonly force?: boolean | undefined
  /** Digests of manifests of which guests exist. */
  readonly inUse?: readonly string[] | undefined
}

export interface PruneParameters {
  readonly all: boolean
  readonly derived: boolean
  readonly dryRun: boolean
  /** Digests of manifests of which guests exist. */
  readonly inUse: readonly string[]
}

/** What each method is asked with. `progressToken` is echoed with each report of progress. */
export interface ParametersOf {
  open: { readonly root: string; readonly rootImageFormat: RootImageFormatName }
  list: Record<string, never>
  inspect: { readonly image: string }
  pull: PullParameters & { readonly progressToken: number }
  /** The archive's bytes come in the lane (byte-lane.ts) under this number. */
  import: {
    readonly stream: number
    readonly name?: string | undefined
    readonly sizeBytes?: number | undefined
    readonly platform?: string | undefined
    readonly progressToken: number
  }
  /** The archive's bytes go into the lane under this number; the answer comes when all have. */
  export: {
    readonly stream: number
    readonly images: readonly string[]
    readonly format: ArchiveFormat
    readonly progressToken: number
  }
  tag: { readonly image: string; readonly name: string }
  remove: RemoveParameters
  prune: PruneParameters
  /** `inUse`: digests of manifests of which guests exist. */
  check: { readonly repair: boolean; readonly inUse: readonly string[]; readonly progressToken: number }
  tags: TagsParameters
  checkRegistry: RegistryAccess & { readonly registry: string }
  verify: VerifyParameters
  sweep: { readonly inUse: readonly string[] }
  rootImage: { readonly image: string; readonly progressToken: number }
}

export const imageProgressSchema = z.object({
  phase: z.enum(PROGRESS_PHASES),
  bytesDone: z.number(),
  bytesTotal: z.number(),
  layers: z.array(
    z.object({
      digest: z.string(),
      bytesDone: z.number(),
      bytesTotal: z.number(),
      state: z.enum(LAYER_STATES),
    }),
  ),
  rateLimit: z
    .object({ limit: z.number(), remaining: z.number(), windowSeconds: z.number().optional() })
    .optional(),
})

export const PROGRESS = new ProgressType<unknown>()

/** JSON-RPC's number of every error; `data` of it says which: the code, hint and data of the OciError. */
export const APPLICATION_ERROR = -32000

export const errorDataSchema = z.object({
  code: z.string(),
  hint: z.string().optional(),
  data: z.record(z.string(), z.unknown()).optional(),
})
