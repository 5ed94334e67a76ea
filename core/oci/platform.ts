// Which manifest of a multi-platform index this machine runs (image-index.md "platform"). Names and variants are made
// alike and ordered as containerd's platforms package does it.

import { OciError } from './errors.ts'
import type { Descriptor, ImageIndex, Platform } from './manifest.ts'

/** Variants of an architecture from the least to the most; each runs what is made for those before it. */
const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  amd64: ['v1', 'v2', 'v3', 'v4'],
  arm64: ['v8', 'v9'],
  arm: ['v5', 'v6', 'v7', 'v8'],
}

/** What an image means that names no variant. */
const PLAIN_VARIANT: Readonly<Record<string, string>> = { amd64: 'v1', arm64: 'v8', arm: 'v7' }

/** What a machine runs when nobody asked for a variant, best first. */
const DEFAULT_VARIANTS: Readonly<Record<string, readonly string[]>> = {
  // v3 and v4 need instructions that not every 64-bit PC has: chosen only when asked for by name.
  amd64: ['v1', 'v2'],
  arm64: ['v8'],
  arm: ['v7', 'v6', 'v5'],
}

/** Other names of architectures, some of which name a variant too. */
const ALIASES: Readonly<Record<string, { readonly architecture: string; readonly variant?: string }>> = {
  x86_64: { architecture: 'amd64' },
  'x86-64': { architecture: 'amd64' },
  aarch64: { architecture: 'arm64' },
  armhf: { architecture: 'arm', variant: 'v7' },
  armel: { architecture: 'arm', variant: 'v6' },
  i386: { architecture: '386' },
}

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  ia32: '386',
}

/** The platform of guests on this machine. */
export function machinePlatform(): Platform {
  return { os: 'linux', architecture: ARCHITECTURES[process.arch] ?? process.arch }
}

/** `linux/amd64` or `linux/arm/v7`. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return `${os}/${architecture}${variant === undefined || variant === '' ? '' : `/${variant}`}`
}

/** Parses `linux/arm64`, `linux/arm/v7` or `linux/x86_64`. Throws `oci.no-platform`. */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.toLowerCase().split('/')
  if (!os || !architecture || rest.length > 0) {
    throw new OciError(
      'oci.no-platform',
      `Cannot use "${text}" as a platform: it is not of the form os/architecture`,
    )
  }
  const alias = ALIASES[architecture]
  const given = variant ?? alias?.variant
  return {
    os,
    architecture: alias?.architecture ?? architecture,
    ...(given === undefined ? {} : { variant: /^\d/.test(given) ? `v${given}` : given }),
  }
}

/** Whether an image for `offered` runs where `wanted` is asked for. */
export function platformFits(wanted: Platform, offered: Platform): boolean {
  return rankOf(wanted, offered) !== undefined
}

/**
 * The entry of an index to use for a platform: the best variant, and of equals the first; undefined when none fits.
 * Entries without a platform are passed over, and so are attestations.
 */
export function bestEntry({ manifests }: ImageIndex, wanted: Platform): Descriptor | undefined {
  let best: { entry: Descriptor; rank: number } | undefined
  for (const entry of manifests) {
    if (entry.platform === undefined || isAttestation(entry)) continue
    const rank = rankOf(wanted, entry.platform)
    if (rank !== undefined && (best === undefined || rank < best.rank)) best = { entry, rank }
  }
  return best?.entry
}

/** The same, or the only entry where that names no platform. Throws `oci.no-platform` with what there is. */
export function choosePlatform(index: ImageIndex, wanted: Platform, what: string): Descriptor {
  const best = bestEntry(index, wanted)
  if (best !== undefined) return best
  const only = index.manifests.length === 1 ? index.manifests[0] : undefined
  if (only !== undefined && only.platform === undefined) return only
  throw noPlatform(
    what,
    wanted,
    index.manifests.flatMap(({ platform }) => platform ?? []),
  )
}

/** Whether an entry tells about an image and is none (BuildKit docs/attestations/attestation-storage.md). */
export function isAttestation({ platform, annotations }: Descriptor): boolean {
  return annotations?.['vnd.docker.reference.type'] === 'attestation-manifest' || platform?.os === 'unknown'
}

/** The error for an image that does not run on the wanted platform; it lists what there is. */
export function noPlatform(what: string, wanted: Platform, offered: readonly Platform[]): OciError {
  const known = offered.filter(({ os }) => os !== 'unknown')
  const available = [...new Set(known.map(formatPlatform))].sort()
  const list = available.length === 0 ? 'no platform' : available.join(', ')
  return new OciError(
    'oci.no-platform',
    `Cannot use ${what} on ${formatPlatform(wanted)}: it is there for ${list}`,
    {
      data: { wanted: formatPlatform(wanted), available },
    },
  )
}

/** 0 for the best; undefined for what does not run. */
function rankOf(wanted: Platform, offered: Platform): number | undefined {
  const wish = normalized(wanted)
  const offer = normalized(offered)
  if (offer.os !== wish.os || offer.architecture !== wish.architecture) return undefined
  const rank = runnable(wish).indexOf(offer.variant || (PLAIN_VARIANT[offer.architecture] ?? ''))
  return rank === -1 ? undefined : rank
}

/** Variants that run where this platform is wanted, best first. */
function runnable({ architecture, variant }: NormalizedPlatform): readonly string[] {
  if (variant === '') return DEFAULT_VARIANTS[architecture] ?? ['']
  const known = VARIANTS[architecture] ?? []
  const position = known.indexOf(variant)
  return position === -1 ? [variant] : known.slice(0, position + 1).reverse()
}

interface NormalizedPlatform extends Platform {
  /** Empty where none is named. */
  readonly variant: string
}

function normalized(platform: Platform): NormalizedPlatform {
  const { os, architecture, variant } = platform
  if (os === '' || architecture === '') return { os, architecture, variant: variant ?? '' }
  const { variant: known = '', ...rest } = parsePlatform(formatPlatform(platform))
  return { ...rest, variant: known }
}
