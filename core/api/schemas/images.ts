// Images: what is in the store, and the jobs that bring them there.
import { z } from 'zod'
import { imageKey, timestamp } from './common.ts'

export const imageSummary = z.strictObject({
  /** Full reference, `docker.io/library/busybox:latest`. */
  reference: z.string(),
  /** Digest of the manifest; shown as the first 12 digits. */
  digest: z.string(),
  createdAt: timestamp.optional(),
  pulledAt: timestamp.optional(),
  /** Compressed size of the layers and the configuration. */
  sizeBytes: z.number(),
  platform: z.string(),
  /** Guests made from it. */
  usedBy: z.array(z.string()),
})

export const runConfig = z.strictObject({
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

export const imageDetails = z.strictObject({
  ...imageSummary.shape,
  configDigest: z.string(),
  architecture: z.string(),
  os: z.string(),
  layers: z.array(
    z.strictObject({ digest: z.string(), diffId: z.string(), sizeBytes: z.number(), mediaType: z.string() }),
  ),
  history: z.array(
    z.strictObject({
      createdBy: z.string(),
      createdAt: timestamp.optional(),
      empty: z.boolean(),
      comment: z.string(),
    }),
  ),
  run: runConfig,
  /** Size of the finished root image, where there is one. */
  rootImageSizeBytes: z.number().optional(),
})

/** Read by the client as the user and used for this job only; the core host keeps none. */
export const registryCredentials = z.strictObject({ username: z.string(), password: z.string() })

export const pullImage = z.strictObject({
  reference: imageKey,
  platform: z.string().optional(),
  credentials: registryCredentials.optional(),
  /** Plain HTTP to a registry that is not on loopback. */
  plainHttp: z.boolean().default(false),
  /** PEM text of a certificate authority to trust beside the system's. */
  certificateAuthority: z.string().max(1048576).optional(),
})

export const importImage = z.strictObject({
  /** Reference to give to what is imported; else the archive's own. */
  name: z.string().optional(),
  /** Bytes that will come, for progress, where known. */
  sizeBytes: z.number().int().min(0).optional(),
})

export const oneImage = z.strictObject({ image: imageKey })
export const removeImage = z.strictObject({ image: imageKey, force: z.boolean().default(false) })
export const removedImage = z.strictObject({ untagged: z.array(z.string()), deleted: z.array(z.string()) })
