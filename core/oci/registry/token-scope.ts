// What a token is asked for (distribution docs/spec/auth/scope.md). A registry may name scopes of its own in a challenge;
// some need them (`aws`, the name of a proxied project), but none is to get a token that can do more than read.

const RESOURCE = /^(repository(?:\([^)]*\))?):([^\s:]+(?::\d+\/[^\s:]+)?):([a-z*,]+)$/
const WORD = /^[\w.-]{1,64}$/

/** The scope to read a repository. */
export function pullScope(repository: string): string {
  return `repository:${repository}:pull`
}

/** The scopes of a challenge that we ask for: repositories to read, and plain words. Everything else is left out. */
export function readOnlyScopes(scope: string | undefined): string[] {
  return (scope ?? '').split(' ').flatMap((text) => {
    if (WORD.test(text)) return text
    const [, type, name, actions] = RESOURCE.exec(text) ?? []
    return actions?.split(',').some((action) => action === 'pull' || action === '*') === true
      ? `${type}:${name}:pull`
      : []
  })
}
