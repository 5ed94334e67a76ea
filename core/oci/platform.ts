// Which manifest of a multi-platform index this machine runs (image-index.md "platform").

import { OciError } from './errors.ts'
import type { Descriptor, ImageIndex, Platform } from './manifest.ts'

/** Variants that a machine runs, best first; the empty string stands for "no variant given". */
const RUNNABLE_VARIANTS: Readonly<Record<string, readonly string[]>> = {
  // v3 and v4 need instructions that not every 64-bit PC has: chosen only when asked for by name.
  amd64: ['', 'v1', 'v2'],
  arm64: ['', 'v8'],
  arm: ['v7', '', 'v6', 'v5'],
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

/** Parses `linux/arm64` or `linux/arm/v7`. Throws `oci.no-platform`. */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.split('/')
  if (!os || !architecture || rest.length > 0) {
    throw new OciError(
      'oci.no-platform',
      `Cannot use "${text}" as a platform: it is not of the form os/architecture`,
    )
  }
  return { os, architecture, ...(variant === undefined ? {} : { variant }) }
}

/** Whether an image for `offered` runs where `wanted` is asked for. */
export function platformFits(wanted: Platform, offered: Platform): boolean {
  return rankOf(wanted, offered) !== undefined
}

/**
 * The entry of an index to use for a platform: the best variant, and of equals the first. Entries without a platform
 * or for `unknown` (attestations) are passed over. Throws `oci.no-platform` with what there is.
 */
export function choosePlatform(index: ImageIndex, wanted: Platform, what: string): Descriptor {
  let best: { entry: Descriptor; rank: number } | undefined
  for (const entry of index.manifests) {
    if (entry.platform === undefined) continue
    const rank = rankOf(wanted, entry.platform)
    if (rank !== undefined && (best === undefined || rank < best.rank)) best = { entry, rank }
  }
  if (best !== undefined) return best.entry
  const only = index.manifests.length === 1 ? index.manifests[0] : undefined
  // A lone entry without a platform is the image itself; its config is checked against the platform later.
  if (only !== undefined && only.platform === undefined) return only
  throw noPlatform(
    what,
    wanted,
    index.manifests.flatMap(({ platform }) => platform ?? []),
  )
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

function rankOf(wanted: Platform, offered: Platform): number | undefined {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return undefined
  const variant = offered.variant ?? ''
  const wishes =
    wanted.variant === undefined || wanted.variant === ''
      ? (RUNNABLE_VARIANTS[wanted.architecture] ?? [''])
      : [wanted.variant]
  const rank = wishes.indexOf(variant)
  return rank === -1 ? undefined : rank
}
