// The Link header (RFC 8288 §3), as far as pages need it: `<target>; rel="next"`.

const TARGET = /[\s,]*<([^>]*)>/y
const PARAMETER =
  /[ \t]*;[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*(?:=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]+)))?/y

/** The target of the first link with this relation; undefined when there is none. What cannot be read ends a header. */
export function findLink(values: readonly string[], relation: string): string | undefined {
  for (const value of values) {
    for (const { target, relations } of parse(value)) if (relations.includes(relation)) return target
  }
  return undefined
}

function* parse(text: string): Generator<{ target: string; relations: string[] }, void, void> {
  for (let position = 0; ; ) {
    TARGET.lastIndex = position
    const [, target] = TARGET.exec(text) ?? []
    if (target === undefined) return
    position = TARGET.lastIndex
    let relations: string[] | undefined
    for (;;) {
      PARAMETER.lastIndex = position
      const parameter = PARAMETER.exec(text)
      if (parameter === null) break
      position = PARAMETER.lastIndex
      const [, name, quoted, plain] = parameter
      // RFC 8288 §3.3: a second "rel" of a link is ignored.
      if (name?.toLowerCase() !== 'rel') continue
      relations ??= (quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '').toLowerCase().split(/\s+/)
    }
    yield { target, relations: relations ?? [] }
  }
}
