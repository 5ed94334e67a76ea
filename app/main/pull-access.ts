// A pull as a page asks for it, completed with the person's own way to the registry.
import type { RegistryAccess } from '../../core/client/registry-access/registry-access.ts'

/**
 * The parameters of `images.pull`. Careful: of the way to the registry only plain HTTP is the page's to choose. One
 * that was taken over could name a proxy and an authority of its own, and have the person's credentials.
 */
export async function pullWithAccess(
  { reference, platform, plainHttp }: Readonly<Record<string, unknown>>,
  accessFor: (reference: string) => Promise<RegistryAccess>,
): Promise<Record<string, unknown>> {
  const access = typeof reference === 'string' ? await accessFor(reference) : {}
  return { ...access, reference, platform, plainHttp }
}
