// What a guest is, how one is made, and what is known of it. DESIGN 4.2, docs/contracts/state.md.
import { z } from 'zod'
import { guestId, guestKey, guestName, imageKey, timestamp } from './common.ts'
import { guestNetwork, networkSpec, publishedPort } from './network.ts'

export const guestMode = z.enum(['pv', 'pvh'])
export const guestState = z.enum(['created', 'starting', 'running', 'paused', 'stopping', 'exited'])

/** What is to run in the guest. What is missing is taken from the image's configuration. */
export const processSpec = z.strictObject({
  command: z.array(z.string()).optional(),
  /** An empty list clears the image's entrypoint. */
  entrypoint: z.array(z.string()).optional(),
  env: z.array(z.string().regex(/^[^=\0]+=[^\0]*$/, 'must be NAME=VALUE')).default([]),
  cwd: z.string().startsWith('/').optional(),
  user: z.string().optional(),
  groups: z.array(z.string()).default([]),
  terminal: z.boolean().default(false),
  stdin: z.boolean().default(false),
  rows: z.number().int().min(1).max(65535).default(24),
  columns: z.number().int().min(1).max(65535).default(80),
})

/** Parameters of `guests.create`. */
export const guestSpec = z.strictObject({
  image: imageKey,
  name: guestName.optional(),
  mode: guestMode.default('pv'),
  memoryMiB: z.number().int().min(64).max(1048576).default(512),
  vcpus: z.number().int().min(1).max(128).default(1),
  hostname: z
    .string()
    .regex(/^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$/, 'must be letters, digits, "." and "-"')
    .optional(),
  process: processSpec.default({ env: [], groups: [], terminal: false, stdin: false, rows: 24, columns: 80 }),
  kernelArguments: z.array(z.string()).default([]),
  network: networkSpec.default({
    kind: 'nat',
    ports: [],
    guests: true,
    policy: [],
    dns: { servers: [], search: [], options: [] },
  }),
  readOnlyRoot: z.boolean().default(false),
  autoRemove: z.boolean().default(false),
  labels: z.record(z.string(), z.string()).default({}),
})

export const exitReason = z.enum([
  'exited',
  'signalled',
  'exec-failed',
  'failed',
  'killed',
  'powered-off',
  'crashed',
  'lost',
])

/** How a guest's life ended. `code` is what a command line passes on as its status. */
export const exitRecord = z.strictObject({
  reason: exitReason,
  code: z.number().int().min(0).max(255),
  signal: z.number().int().optional(),
  message: z.string(),
  finishedAt: timestamp,
})

export const guestSummary = z.strictObject({
  id: guestId,
  name: guestName,
  image: z.string(),
  imageDigest: z.string(),
  command: z.array(z.string()),
  state: guestState,
  mode: guestMode,
  memoryMiB: z.number(),
  vcpus: z.number(),
  createdAt: timestamp,
  startedAt: timestamp.optional(),
  domid: z.number().int().optional(),
  terminal: z.boolean(),
  autoRemove: z.boolean(),
  /** Ports of the host that lead into it now; empty while it does not run. */
  ports: z.array(publishedPort),
  exit: exitRecord.optional(),
})

export const launchStep = z.strictObject({ step: z.string(), ms: z.number() })

export const guestDetails = z.strictObject({
  ...guestSummary.shape,
  hostname: z.string(),
  network: guestNetwork,
  readOnlyRoot: z.boolean(),
  labels: z.record(z.string(), z.string()),
  process: z.strictObject({
    argv: z.array(z.string()),
    env: z.array(z.string()),
    cwd: z.string(),
    user: z.string(),
    groups: z.array(z.string()),
    terminal: z.boolean(),
    stdin: z.boolean(),
  }),
  kernel: z.string().optional(),
  kernelArguments: z.array(z.string()),
  logPath: z.string(),
  bootLogPath: z.string(),
  /** How long each step of the last launch took. */
  launch: z.array(launchStep),
  cpuTimeNs: z.number().optional(),
  memoryUsedMiB: z.number().optional(),
})

export const createdGuest = z.strictObject({
  id: guestId,
  name: guestName,
  /** Sentences for the person who asked: what was asked for and cannot be given. */
  warnings: z.array(z.string()),
})

export const one = z.strictObject({ guest: guestKey })
export const listGuests = z.strictObject({ all: z.boolean().default(false) })
export const stopGuest = z.strictObject({
  guest: guestKey,
  /** Signal for the program; the image's STOPSIGNAL, else SIGTERM. */
  signal: z.string().optional(),
  timeoutSeconds: z.number().min(0).max(86400).default(10),
})
export const killGuest = z.strictObject({ guest: guestKey, signal: z.string().optional() })
export const removeGuest = z.strictObject({ guest: guestKey, force: z.boolean().default(false) })
