// One spelling for each repository, for rules that go by its name: a host name in capitals, the standard port or the
// other name of Docker Hub must not lead past a rule.

import { type ImageReference, registryEndpoint } from '../reference.ts'

const DOCKER_HUB = 'docker.io'
const DOCKER_HUB_NAMES: ReadonlySet<string> = new Set([
  DOCKER_HUB,
  `index.${DOCKER_HUB}`,
  registryEndpoint(DOCKER_HUB),
])
const STANDARD_PORT = /:443$/

/** `registry.example/team/app`: the name of a reference without tag and digest, and always spelled the same way. */
export function canonicalRepository({
  registry,
  repository,
}: Pick<ImageReference, 'registry' | 'repository'>): string {
  const host = registry.toLowerCase().replace(STANDARD_PORT, '')
  return `${DOCKER_HUB_NAMES.has(host) ? DOCKER_HUB : host}/${repository}`
}
