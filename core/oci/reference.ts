// Image references: the grammar of github.com/distribution/reference (reference.go, regexp.go) and the defaults of
// its normalize.go, so that a name means here what it means to docker, podman and skopeo.

import { type Digest, isDigest } from './digest.ts'
import { OciError } from './errors.ts'

/** A complete reference: registry and repository are always there, and a tag or a digest or both. */
export interface ImageReference {
  /** Host and optional port as in the name; `docker.io` when the name has none. */
  readonly registry: string
  /** The path within the registry, e.g. `library/alpine`. */
  readonly repository: string
  readonly tag?: string
  readonly digest?: Digest
}

const DEFAULT_REGISTRY = 'docker.io'
const LEGACY_DEFAULT_REGISTRY = 'index.docker.io'
const DOCKER_HUB_ENDPOINT = 'registry-1.docker.io'
const DOCKER_HUB_HOSTS: ReadonlySet<string> = new Set([
  DEFAULT_REGISTRY,
  LEGACY_DEFAULT_REGISTRY,
  DOCKER_HUB_ENDPOINT,
])
const OFFICIAL_PREFIX = 'library/'
const DEFAULT_TAG = 'latest'
/** Of a repository, without its registry (reference.go RepositoryNameTotalLengthMax). */
const MAX_NAME_LENGTH = 255

const DOMAIN_COMPONENT = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const DOMAIN_NAME = `${DOMAIN_COMPONENT}(?:\\.${DOMAIN_COMPONENT})*`
const DOMAIN = new RegExp(`^(?:${DOMAIN_NAME}|\\[(?:[a-fA-F0-9:]+)\\])(?::[0-9]+)?$`)
const PATH_COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const PATH = new RegExp(`^${PATH_COMPONENT}(?:/${PATH_COMPONENT})*$`)
const TAG = /^\w[\w.-]{0,127}$/
/** 64 hex digits are an image id, never a name (normalize.go). */
const IDENTIFIER = /^[a-f0-9]{64}$/

/**
 * Parses what a person typed (`alpine`, `quay.io/a/b:1`, `localhost:5000/x@sha256:…`) and fills in the defaults:
 * `docker.io`, `library/` for one-word names there, and the tag `latest` where there is neither tag nor digest.
 * Throws `oci.bad-reference`.
 */
export function parseReference(text: string): ImageReference {
  if (text === '') throw badReference(text, 'it is empty')
  if (IDENTIFIER.test(text)) {
    throw badReference(text, 'a name cannot be 64 hex digits; it looks like an image id')
  }
  const { name, tag, digest } = splitSuffixes(text)
  const { registry, repository } = splitRegistry(text, name)
  if (repository.length > MAX_NAME_LENGTH) {
    throw badReference(text, `its name is longer than ${MAX_NAME_LENGTH} characters`)
  }
  if (digest !== undefined) return { registry, repository, ...(tag === undefined ? {} : { tag }), digest }
  return { registry, repository, tag: tag ?? DEFAULT_TAG }
}

/** The full form: `docker.io/library/alpine:latest`, the key of an image in the store. */
export function formatReference(reference: ImageReference): string {
  return `${reference.registry}/${reference.repository}${formatSuffix(reference)}`
}

/** The short form for people: `alpine:latest`, with what the defaults would add left out. */
export function familiarReference(reference: ImageReference): string {
  return `${familiarName(reference)}${formatSuffix(reference)}`
}

/** The name without tag and digest in its short form, e.g. `alpine` or `quay.io/a/b`. */
export function familiarName({ registry, repository }: ImageReference): string {
  if (registry !== DEFAULT_REGISTRY) return `${registry}/${repository}`
  const rest = repository.slice(OFFICIAL_PREFIX.length)
  const isOfficial = repository.startsWith(OFFICIAL_PREFIX) && !rest.includes('/')
  // One word alone is never a registry, whatever it looks like.
  return isOfficial ? rest : repository
}

/**
 * The name of a registry as references have it, from what a person types: `docker.io` for all of Docker Hub's names, and
 * without `https://` or a path. Throws `oci.bad-reference`.
 */
export function parseRegistryName(text: string): string {
  const name = text.replace(/^https?:\/\//i, '').replace(/\/.*$/s, '')
  if (!DOMAIN.test(name)) {
    throw new OciError(
      'oci.bad-reference',
      `Cannot use ${JSON.stringify(text.slice(0, 120))} as a registry: it is not of the form host or host:port`,
      { hint: 'A registry is named like "docker.io" or "registry.example:5000".' },
    )
  }
  return DOCKER_HUB_HOSTS.has(name.toLowerCase()) ? DEFAULT_REGISTRY : name
}

/** Whether the text may be a tag. */
export function isTag(text: string): boolean {
  return TAG.test(text)
}

/** The host that serves a registry's API; Docker Hub's differs from its name. */
export function registryEndpoint(registry: string): string {
  return registry === DEFAULT_REGISTRY ? DOCKER_HUB_ENDPOINT : registry
}

/** The same repository at a digest instead of a tag. */
export function atDigest({ registry, repository }: ImageReference, digest: Digest): ImageReference {
  return { registry, repository, digest }
}

function formatSuffix({ tag, digest }: ImageReference): string {
  return `${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`
}

function splitSuffixes(text: string): { name: string; tag?: string; digest?: Digest } {
  const at = text.indexOf('@')
  const beforeDigest = at === -1 ? text : text.slice(0, at)
  const digest = at === -1 ? undefined : text.slice(at + 1)
  if (digest !== undefined && !isDigest(digest)) {
    throw badReference(text, 'what follows "@" is not a sha256 or sha512 digest')
  }
  const colon = beforeDigest.indexOf(':', beforeDigest.lastIndexOf('/') + 1)
  const name = colon === -1 ? beforeDigest : beforeDigest.slice(0, colon)
  const tag = colon === -1 ? undefined : beforeDigest.slice(colon + 1)
  if (tag !== undefined && !TAG.test(tag)) {
    throw badReference(
      text,
      'a tag is 1 to 128 letters, digits, "_", "." and "-", and starts with none of ".-"',
    )
  }
  return { name, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) }
}

function splitRegistry(text: string, name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/')
  const first = slash === -1 ? '' : name.slice(0, slash)
  const hasRegistry = slash !== -1 && looksLikeRegistry(first)
  const registry = hasRegistry && first !== LEGACY_DEFAULT_REGISTRY ? first : DEFAULT_REGISTRY
  const path = hasRegistry ? name.slice(slash + 1) : name
  if (path.toLowerCase() !== path) throw badReference(text, 'the name of a repository is in lower case')
  if (!DOMAIN.test(registry)) throw badReference(text, `"${registry}" is not the name of a registry`)
  if (!PATH.test(path)) {
    throw badReference(
      text,
      'a name is lower-case letters and digits, with "." "_" "__" or "-" between them, and "/"',
    )
  }
  const isOfficial = registry === DEFAULT_REGISTRY && !path.includes('/')
  return { registry, repository: isOfficial ? `${OFFICIAL_PREFIX}${path}` : path }
}

/** normalize.go splitDockerDomain: a dot, a colon, `localhost` or an upper-case letter make it a host. */
function looksLikeRegistry(first: string): boolean {
  return /[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first
}

function badReference(text: string, reason: string): OciError {
  const shown = text.length > 120 ? `${text.slice(0, 120)}…` : text
  return new OciError(
    'oci.bad-reference',
    `Cannot use ${JSON.stringify(shown)} as an image name: ${reason}`,
    {
      hint: 'A name looks like "alpine", "alpine:3.20" or "registry.example:5000/team/app@sha256:…".',
    },
  )
}
