// Text from guests and images, made safe for a terminal.

// C0 and C1 controls, DEL, and the characters that reorder or hide what stands beside them (Unicode TR 36).
const unsafe = /[\p{Cc}\u{200B}-\u{200F}\u{2028}-\u{202E}\u{2060}-\u{2069}\u{FEFF}]/gu

/** `text` with every character that could steer the terminal written as `\xNN` or `\u{NNNN}`. */
export function printable(text: string): string {
  return text.replace(unsafe, (character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16)
    return code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u{${code}}`
  })
}
