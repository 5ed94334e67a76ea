// `--filter reference=PATTERN` of `images`: docker's rule (distribution/reference, FamiliarMatch).
import { UsageError } from '../failure.ts'
import { familiarName } from './image-names.ts'

/** A test for full references. A pattern is a glob over the familiar name, with its tag or without. */
export function referenceFilter(pattern: string): (reference: string) => boolean {
  const expression = globExpression(pattern)
  return (reference) => {
    const name = familiarName(reference)
    const [withoutDigest = ''] = name.split('@', 1)
    const colon = withoutDigest.indexOf(':', withoutDigest.lastIndexOf('/') + 1)
    const repository = colon === -1 ? withoutDigest : withoutDigest.slice(0, colon)
    return [reference, name, withoutDigest, repository].some((candidate) => expression.test(candidate))
  }
}

/** Go's path.Match: `*` and `?` stay within a path's part, `[a-z]` and `[^a-z]` are sets, `\` takes away a meaning. */
export function globExpression(pattern: string): RegExp {
  const tokens = pattern.match(/\\.|\[\^?(?:\\.|[^\]\\])+\]|[\s\S]/g) ?? []
  const source = tokens.map((token) => {
    if (token === '*') return '[^/]*'
    if (token === '?') return '[^/]'
    if (token === '[' || token === '\\')
      throw new UsageError(`Cannot use the pattern ${JSON.stringify(pattern)}: ${token} is not closed`)
    if (token.startsWith('[')) return token
    return (token.startsWith('\\') ? token.slice(1) : token).replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
  })
  try {
    return new RegExp(`^${source.join('')}$`, 's')
  } catch (cause) {
    throw new UsageError(
      `Cannot use the pattern ${JSON.stringify(pattern)}: it has a set that makes no sense`,
      {
        cause,
      },
    )
  }
}
