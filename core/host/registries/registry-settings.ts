// What the host's settings say about registries: /etc/bulkhead/registries.json, docs/images.md. Read anew for each
// request, so a change counts at once; an error in it stops what would go by it, and is never passed over.
import { z } from 'zod'
import { canonicalRepository } from '../../oci/signatures/canonical-repository.ts'
import { isScope, signaturePoliciesSchema } from '../../oci/signatures/policy.ts'
import { duplicateKey } from '../../oci/strict-json.ts'
import { badSettings, readOwnFile } from '../own-file.ts'
import { isHostName } from './host-name.ts'

export const systemRegistriesFile = '/etc/bulkhead/registries.json'

const hostName = z
  .string()
  .refine(isHostName, { error: 'is not a host ("mirror.example", "localhost:5000")' })

const mirror = z.strictObject({
  host: hostName,
  /** Put before the repository's name. */
  prefix: z
    .string()
    .regex(/^[a-z0-9]+(?:[._/-]+[a-z0-9]+)*$/, { error: "is not what a repository's name can begin with" })
    .optional(),
  digestsOnly: z.boolean().optional(),
  plainHttp: z.boolean().optional(),
})

const registry = z.strictObject({
  mirrors: z.array(mirror).max(16).default([]),
  plainHttp: z.boolean().optional(),
  trustedRealms: z.array(hostName).max(16).default([]),
  /** Layers may come from the addresses that a manifest names for them. */
  foreignLayers: z.boolean().optional(),
})
export type RegistryRule = z.infer<typeof registry>

const proxy = z.strictObject({
  http: z.string().max(2048).optional(),
  https: z.string().max(2048).optional(),
  except: z.string().max(4096).optional(),
})

const registrySettings = z.strictObject({
  proxy: proxy.optional(),
  /** By the registry, or what its repositories' full names begin with. */
  registries: z
    .record(
      z.string().refine((text) => text !== '*' && isScope(text), {
        error:
          'is not a registry ("registry.example:5000") or what a repository\'s full name begins with ("docker.io/library")',
      }),
      registry,
    )
    .default({}),
  signatures: signaturePoliciesSchema.default({}),
})
export type RegistrySettings = z.infer<typeof registrySettings>

/** The settings in `file`; nothing is set where there is none. Throws `host.bad-settings` with the file and the field. */
export async function readRegistrySettings(file: string): Promise<RegistrySettings> {
  const text = await readOwnFile(file)
  if (text === undefined) return registrySettings.parse({})
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch (error) {
    throw badSettings(file, error instanceof Error ? error.message : String(error))
  }
  // JSON.parse keeps the last: of two rules for one name the stricter could get lost.
  const twice = duplicateKey(text, `the settings in ${file}`)
  if (twice !== undefined) throw badSettings(file, `"${twice}" occurs twice in one place`)
  const result = registrySettings.safeParse(document)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const complaint = issue?.message ?? 'it does not follow its form'
  throw badSettings(file, issue?.path.length ? `"${issue.path.join('.')}": ${complaint}` : complaint)
}

/** The rule for a repository: that of the longest name which its own begins with, or of its registry. */
export function ruleFor(
  { registries }: RegistrySettings,
  reference: Parameters<typeof canonicalRepository>[0],
): RegistryRule | undefined {
  const words = canonicalRepository(reference).split('/')
  for (let count = words.length; count > 0; count--) {
    const name = words.slice(0, count).join('/')
    if (Object.hasOwn(registries, name)) return registries[name]
  }
  return undefined
}
