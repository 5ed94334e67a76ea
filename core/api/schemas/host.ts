// The host under the guests: what it is, whether it is ready.
import { z } from 'zod'

export const hostInfo = z.strictObject({
  version: z.string(),
  xen: z.strictObject({
    version: z.string(),
    capabilities: z.array(z.string()),
    commandLine: z.string(),
    totalMemoryMiB: z.number(),
    freeMemoryMiB: z.number(),
    cpus: z.number(),
    cpuKhz: z.number(),
    hvm: z.boolean(),
  }),
  dom0: z.strictObject({
    hostname: z.string(),
    kernel: z.string(),
    memoryMiB: z.number(),
    vcpus: z.number(),
    node: z.string(),
  }),
  guests: z.strictObject({ running: z.number(), total: z.number(), foreign: z.number() }),
  images: z.number(),
  stateDirectory: z.string(),
  storeFreeBytes: z.number(),
  /** True where the core host runs inside the built-in lab. */
  lab: z.boolean(),
})

export const check = z.strictObject({
  id: z.string(),
  title: z.string(),
  passed: z.boolean(),
  /** What was found, one sentence. */
  detail: z.string(),
  /** What to do, where it did not pass: a command that can be copied, or a sentence. */
  fix: z.string().optional(),
})
export const checks = z.array(check)
