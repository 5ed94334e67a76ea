// What registries are called: in references, in the files of docker and of podman, and before credential helpers.

/** The name under which docker keeps the credentials of Docker Hub (docker/cli, registry.IndexServer). */
const hubServerAddress = 'https://index.docker.io/v1/'
const hub = 'docker.io'
const hubHosts: readonly string[] = [hub, 'index.docker.io', 'registry-1.docker.io']

/** Docker's config.json, or the auth.json of podman, skopeo and buildah (containers-auth.json(5)). */
export type AuthFileStyle = 'docker' | 'containers'

/** The registry that a reference names; `docker.io` where it names none (distribution/reference, normalize.go). */
export function registryOf(reference: string): string {
  return splitRegistry(reference).registry
}

/** The whole name without tag and digest: `docker.io/library/busybox` for `busybox:1.36`. */
export function repositoryOf(reference: string): string {
  const [named = ''] = reference.split('@', 1)
  const { registry, path } = splitRegistry(named)
  const colon = path.indexOf(':')
  const repository = colon === -1 ? path : path.slice(0, colon)
  const isOfficial = registry === hub && !repository.includes('/')
  return `${registry}/${isOfficial ? 'library/' : ''}${repository}`
}

/**
 * What a person names at a login, as a scope: a registry (`docker.io`, `localhost:5000`), or a part of one
 * (`quay.io/team`). Of an address (`https://index.docker.io/v1/`) the host counts, as for docker.
 */
export function scopeOf(typed: string): string {
  if (/^https?:\/\//.test(typed)) return hostOfKey(typed)
  const [first = '', ...path] = typed.replace(/\/+$/, '').split('/')
  return [hostOfKey(first), ...path].join('/')
}

/** The registry of a scope. */
export function registryOfScope(scope: string): string {
  const [registry = ''] = scope.split('/', 1)
  return registry
}

/** A scope and all around it, the narrowest first: `quay.io/a/b`, `quay.io/a`, `quay.io` (containers-auth.json(5)). */
export function scopesAround(scope: string): string[] {
  const words = scope.split('/')
  return words.map((_, index) => words.slice(0, words.length - index).join('/'))
}

/** The registry that a key of an auth file stands for; older ones are addresses: `https://index.docker.io/v1/`. */
export function hostOfKey(key: string): string {
  const host = key.replace(/^https?:\/\//, '').replace(/\/.*$/, '')
  return hubHosts.includes(host) ? hub : host
}

/** The key under which the credentials of a scope are kept in a file of that style, and known to helpers. */
export function keyOfScope(scope: string, style: AuthFileStyle): string {
  return style === 'docker' && scope === hub ? hubServerAddress : scope
}

function splitRegistry(name: string): { registry: string; path: string } {
  const [first = '', ...rest] = name.split('/')
  // A dot, a colon, `localhost` or an upper-case letter make the first word a host (normalize.go, splitDockerDomain).
  const isHost = /[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first
  if (rest.length === 0 || !isHost) return { registry: hub, path: name }
  return { registry: hostOfKey(first), path: rest.join('/') }
}
