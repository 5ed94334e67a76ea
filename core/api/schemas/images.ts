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
    z.strictObject({
      digest: z.string(),
      diffId: z.string(),
      sizeBytes: z.number(),
      mediaType: z.string(),
      /** What the layer holds, where it has been read: entries of its tar, and bytes of its files. */
      entries: z.number().optional(),
      contentBytes: z.number().optional(),
    }),
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
  rootImageFormat: z.enum(['squashfs', 'erofs']).optional(),
})

/** PEM text. */
const pem = z.string().max(1048576)

/** Read by the client as the user (core/client/credentials) and used for this request only; the core host keeps none. */
export const registryCredentials = z.union([
  z.strictObject({ username: z.string().max(4096), password: z.string().max(65536) }),
  /** What a registry gave in place of a password (`docker login` with an identity provider): an OAuth 2 refresh token. */
  z.strictObject({ identityToken: z.string().max(65536) }),
])

/** How to reach a registry, beside what the host's own settings say (docs/images.md). */
const registryAccess = {
  credentials: registryCredentials.optional(),
  /** Plain HTTP to a registry that is not on loopback. */
  plainHttp: z.boolean().default(false),
  /** Authorities to trust beside the system's. */
  certificateAuthority: pem.optional(),
  /** What to show to a registry that asks for a certificate. */
  clientCertificate: z.strictObject({ certificate: pem, key: pem }).optional(),
  /** Addresses of proxies, as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` have them. Left out: the core host's own. */
  proxy: z
    .strictObject({
      http: z.string().max(2048).optional(),
      https: z.string().max(2048).optional(),
      except: z.string().max(4096).optional(),
    })
    .optional(),
  /** Hosts of token servers that may see the credentials, because the user says so. */
  trustedRealms: z.array(z.string().max(255)).max(16).default([]),
}

export const pullImage = z.strictObject({
  reference: imageKey,
  platform: z.string().max(64).optional(),
  ...registryAccess,
})

/** A page of a repository's tags, in the registry's order. */
export const listTags = z.strictObject({
  repository: imageKey,
  /** The tag after which the page begins. */
  after: z.string().max(128).optional(),
  limit: z.number().int().min(1).max(1000).default(100),
  ...registryAccess,
})
export const remoteTags = z.strictObject({
  /** Full name, `docker.io/library/busybox`. */
  repository: z.string(),
  tags: z.array(z.string()),
  /** Whether there are more after the last. */
  hasMore: z.boolean(),
})

/** Whether a registry answers, and takes the credentials. */
export const checkRegistry = z.strictObject({ registry: z.string().min(1).max(255), ...registryAccess })
export const checkedRegistry = z.strictObject({
  /** The registry's name as references have it: `docker.io`, `localhost:5000`. */
  registry: z.string(),
  /** What it did with the credentials: took them, did not ask for any, or let everybody in as none were given. */
  login: z.enum(['accepted', 'not-wanted', 'anonymous']),
})

export const importImage = z.strictObject({
  /** Reference to give to what is imported; else the archive's own. */
  name: z.string().max(512).optional(),
  /** Which image of several to take, `linux/arm64`; the host's own platform when left out. */
  platform: z.string().max(64).optional(),
  /** Bytes that will come, for progress, where known. */
  sizeBytes: z.number().int().min(0).optional(),
})

export const oneImage = z.strictObject({ image: imageKey })
export const removeImage = z.strictObject({ image: imageKey, force: z.boolean().default(false) })
export const removedImage = z.strictObject({ untagged: z.array(z.string()), deleted: z.array(z.string()) })

export const tagImage = z.strictObject({ image: imageKey, name: imageKey })
export const taggedImage = z.strictObject({ reference: z.string() })

/**
 * Frees what is not needed: images without a tag (`all`: every image that no guest was made from), with `derived` also
 * what can be made again (root images and layers kept ready for building). Leftovers of downloads always.
 */
export const pruneImages = z.strictObject({
  all: z.boolean().default(false),
  derived: z.boolean().default(false),
  /** Only tell what would go. */
  dryRun: z.boolean().default(false),
})
export const prunedImages = z.strictObject({
  images: z.array(z.strictObject({ reference: z.string(), digest: z.string() })),
  freedBytes: z.number(),
})

/** Reads every blob again and compares; with `repair`, what is damaged goes, so that the next pull fetches it. */
export const checkStore = z.strictObject({ repair: z.boolean().default(false) })
export const storeReport = z.strictObject({
  blobs: z.number(),
  bytes: z.number(),
  images: z.number(),
  problems: z.array(
    z.strictObject({
      /** What is damaged: a digest, a reference or a file of the store. */
      subject: z.string(),
      /** One sentence. */
      problem: z.string(),
      repaired: z.boolean(),
    }),
  ),
})

export const archiveFormat = z.enum(['oci-archive', 'docker-archive'])
/** Images as one archive; its bytes come on the stream. */
export const exportImages = z.strictObject({
  images: z.array(imageKey).min(1).max(64),
  format: archiveFormat.default('docker-archive'),
})
export const startedExport = z.strictObject({ job: z.string(), ticket: z.string() })

/** Looks for signatures of an image (in its registry) and checks them. */
export const verifyImage = z.strictObject({
  image: imageKey,
  /** Public keys (PEM) to check with; left out: those that the host's settings have for the registry. */
  keys: z.array(pem).max(16).optional(),
  ...registryAccess,
})
export const verifiedImage = z.strictObject({
  reference: z.string(),
  /** What the signatures are of. */
  digest: z.string(),
  signatures: z.array(
    z.strictObject({
      format: z.enum(['simple-signing', 'bundle']),
      /** SHA-256 of the public key (DER, SubjectPublicKeyInfo) that the signature is good for. */
      keyId: z.string(),
      /** The name that the signer gave the image. */
      signedReference: z.string().optional(),
    }),
  ),
})
