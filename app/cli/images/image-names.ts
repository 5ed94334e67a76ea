// Image references as people know them: without what `docker` leaves out too.

export interface ImageName {
  readonly repository: string
  readonly tag: string
}

/** `docker.io/library/busybox:1.36` as `busybox` and `1.36`; a tag is `<none>` where there is a digest instead. */
export function splitImageName(reference: string): ImageName {
  const familiar = familiarName(reference)
  const [named = ''] = familiar.split('@', 1)
  const slash = named.lastIndexOf('/')
  const colon = named.indexOf(':', slash + 1)
  if (colon === -1) return { repository: named, tag: '<none>' }
  return { repository: named.slice(0, colon), tag: named.slice(colon + 1) }
}

/** A full reference without Docker Hub's own name. */
export function familiarName(reference: string): string {
  return reference.replace(/^docker\.io\/(?:library\/(?=[^/]*$))?/, '')
}
