// The image's config blob (image-spec config.md; Docker writes the same document with a few fields more) and the part
// of it that a guest is started with. All of it is data for the guest: nothing here ever names a thing on the host.

import { z } from 'zod'
import { checkSchema } from './check-schema.ts'
import { type Digest, isDigest } from './digest.ts'
import { OciError } from './errors.ts'
import { LIMITS } from './limits.ts'
import type { Platform } from './manifest.ts'
import { parseStrictJson } from './strict-json.ts'

/** Text that ends up in a guest's argv, environment or paths: a NUL would cut it short. */
const textSchema = z.string().refine((text) => !text.includes('\0'), 'contains a NUL byte')
const textListSchema = z
  .array(textSchema)
  .nullish()
  .transform((list) => list ?? undefined)
const keySetSchema = z
  .record(textSchema, z.unknown())
  .nullish()
  .transform((set) => Object.keys(set ?? {}))
const nanosecondsSchema = z.int().nonnegative().optional()

/** What the image says about running it, with the spec's names. Absent lists stay absent (Cmd: none given). */
export const runConfigSchema = z.object({
  Entrypoint: z.array(z.string()).optional(),
  Cmd: z.array(z.string()).optional(),
  Env: z.array(z.string()),
  User: z.string(),
  WorkingDir: z.string(),
  StopSignal: z.string().optional(),
  /** `80/tcp`, `53/udp`, `8000-8010/tcp`. */
  ExposedPorts: z.array(z.string()),
  Volumes: z.array(z.string()),
  Labels: z.record(z.string(), z.string()),
  /** Durations in nanoseconds, as Docker writes them. */
  Healthcheck: z
    .object({
      Test: z.array(z.string()).optional(),
      Interval: nanosecondsSchema,
      Timeout: nanosecondsSchema,
      StartPeriod: nanosecondsSchema,
      StartInterval: nanosecondsSchema,
      Retries: z.int().nonnegative().optional(),
    })
    .optional(),
})

export type RunConfig = Readonly<z.infer<typeof runConfigSchema>>

const configSchema = z.object({
  created: z.string().nullish(),
  author: z.string().nullish(),
  architecture: z.string(),
  os: z.string(),
  variant: z.string().nullish(),
  config: z
    .object({
      Entrypoint: textListSchema,
      Cmd: textListSchema,
      Env: textListSchema,
      User: textSchema.nullish(),
      WorkingDir: textSchema.nullish(),
      StopSignal: textSchema.nullish(),
      ExposedPorts: keySetSchema,
      Volumes: keySetSchema,
      Labels: z.record(z.string(), z.string()).nullish(),
      Healthcheck: runConfigSchema.shape.Healthcheck.nullish(),
    })
    .nullish(),
  rootfs: z.object({
    type: z.literal('layers'),
    diff_ids: z.array(z.string().refine(isDigest, 'is not a sha256 or sha512 digest')).nullable(),
  }),
  history: z
    .array(
      z.object({
        created: z.string().nullish(),
        created_by: z.string().nullish(),
        comment: z.string().nullish(),
        empty_layer: z.boolean().nullish(),
      }),
    )
    .nullish(),
})

export interface HistoryEntry {
  readonly created?: string | undefined
  readonly createdBy?: string | undefined
  readonly comment?: string | undefined
  readonly emptyLayer: boolean
}

export interface ImageConfig {
  readonly platform: Platform
  /** RFC 3339, as the image has it. */
  readonly created?: string | undefined
  readonly author?: string | undefined
  /** The digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly Digest[]
  readonly history: readonly HistoryEntry[]
  readonly run: RunConfig
}

/** Parses a config blob. `what` names it in errors. Throws `oci.corrupt-image` or `oci.limit`. */
export function parseImageConfig(bytes: Uint8Array, what: string): ImageConfig {
  if (bytes.length > LIMITS.configBytes) {
    throw new OciError('oci.limit', `Cannot read ${what}: it is larger than ${LIMITS.configBytes} bytes`, {
      data: { which: 'configBytes' },
    })
  }
  const parsed = checkSchema(configSchema, parseStrictJson(bytes, what), what)
  const variant = parsed.variant ?? ''
  return {
    platform: { os: parsed.os, architecture: parsed.architecture, ...(variant === '' ? {} : { variant }) },
    created: parsed.created ?? undefined,
    author: parsed.author ?? undefined,
    diffIds: parsed.rootfs.diff_ids ?? [],
    history: (parsed.history ?? []).map((entry) => ({
      created: entry.created ?? undefined,
      createdBy: entry.created_by ?? undefined,
      comment: entry.comment ?? undefined,
      emptyLayer: entry.empty_layer ?? false,
    })),
    run: toRunConfig(parsed.config, what),
  }
}

/** Throws `oci.corrupt-image` unless the config names one uncompressed digest for each layer of the manifest. */
export function requireMatchingLayers(config: ImageConfig, layerCount: number, what: string): void {
  if (config.diffIds.length === layerCount) return
  throw new OciError(
    'oci.corrupt-image',
    `Cannot use ${what}: its manifest has ${layerCount} layers, its config ${config.diffIds.length}`,
  )
}

function toRunConfig(config: z.infer<typeof configSchema>['config'], what: string): RunConfig {
  const user = config?.User ?? ''
  requireSaneUser(user, what)
  return {
    ...(config?.Entrypoint === undefined ? {} : { Entrypoint: config.Entrypoint }),
    ...(config?.Cmd === undefined ? {} : { Cmd: config.Cmd }),
    Env: config?.Env ?? [],
    User: user,
    WorkingDir: config?.WorkingDir ?? '',
    ...(config?.StopSignal ? { StopSignal: config.StopSignal } : {}),
    ExposedPorts: config?.ExposedPorts ?? [],
    Volumes: config?.Volumes ?? [],
    Labels: config?.Labels ?? {},
    ...(config?.Healthcheck ? { Healthcheck: config.Healthcheck } : {}),
  }
}

/** A number that does not fit a uid must not come out as root on the other side (CVE-2024-40635). */
function requireSaneUser(user: string, what: string): void {
  for (const part of user.split(':')) {
    if (/^[+-]?\d+$/.test(part) && (!/^\d+$/.test(part) || Number(part) > 0x7fff_ffff)) {
      throw new OciError(
        'oci.corrupt-image',
        `Cannot use ${what}: its user "${user}" is outside 0 to 2147483647`,
      )
    }
  }
}
