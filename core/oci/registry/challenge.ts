// The WWW-Authenticate header (RFC 9110 §11.6.1): which kinds of proof a server asks for. A comma may separate two
// challenges, two parameters, or stand inside a quoted string, so it is read token by token.

export interface Challenge {
  /** In lower case: `bearer`, `basic`, … */
  readonly scheme: string
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>
}

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
const SPACE_AND_COMMAS = /[ \t,]*/y
const EQUALS = /[ \t]*=[ \t]*/y
const QUOTED = /"((?:[^"\\]|\\.)*)"/y
/** `token68`, the form of one opaque value (RFC 9110 §11.2). */
const TOKEN68 = /[ \t]+[-._~+/0-9A-Za-z]+=*(?=[ \t]*(?:,|$))/y

/** Parses one or more header values; what cannot be read ends the list. */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  const values = header === undefined ? [] : typeof header === 'string' ? [header] : header
  return values.flatMap(parseHeader)
}

function parseHeader(text: string): Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = []
  let position = 0
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = position
    const match = pattern.exec(text)
    if (match === null) return undefined
    position = pattern.lastIndex
    return match
  }
  while (position < text.length) {
    take(SPACE_AND_COMMAS)
    const word = take(TOKEN)?.[0]
    if (word === undefined) break
    const current = challenges.at(-1)
    // A word with "=" after it is a parameter of the challenge before it, else it begins the next challenge.
    if (current !== undefined && take(EQUALS) !== undefined) {
      const value = take(QUOTED)?.[1]?.replace(/\\(.)/g, '$1') ?? take(TOKEN)?.[0]
      if (value === undefined) break
      const name = word.toLowerCase()
      // Careful: of a parameter that comes twice the first counts, whatever a second one tries to add.
      if (!Object.hasOwn(current.parameters, name)) current.parameters[name] = value
    } else {
      challenges.push({ scheme: word.toLowerCase(), parameters: Object.create(null) })
      take(TOKEN68)
    }
  }
  return challenges
}
