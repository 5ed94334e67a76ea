// Command lines as a person types them, by the shell's rules of quoting (POSIX Shell Command Language 2.2);
// variables and substitutions are not expanded, they go to the guest as they are.

/** The words of a line; undefined where a quote is not closed. */
export function splitWords(line: string): readonly string[] | undefined {
  const words: string[] = []
  let word: string | undefined
  let quote: '"' | "'" | undefined
  for (let at = 0; at < line.length; at += 1) {
    const character = line.charAt(at)
    if (quote === "'") {
      if (character === quote) quote = undefined
      else word += character
    } else if (character === '\\' && (quote === undefined || '"\\$`'.includes(line.charAt(at + 1)))) {
      at += 1
      if (at >= line.length) return undefined
      word = (word ?? '') + line.charAt(at)
    } else if (quote === '"') {
      if (character === quote) quote = undefined
      else word += character
    } else if (character === '"' || character === "'") {
      quote = character
      word ??= ''
    } else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else {
      word = (word ?? '') + character
    }
  }
  if (quote !== undefined) return undefined
  return word === undefined ? words : [...words, word]
}

/** The word so that a shell reads it back unchanged. */
export function quoteWord(word: string): string {
  if (/^[A-Za-z0-9_./:=@%+,-]+$/.test(word)) return word
  return `'${word.replaceAll("'", "'\\''")}'`
}

export const joinWords = (words: readonly string[]): string => words.map(quoteWord).join(' ')
