// Base64 as Go reads it (encoding/base64 StdEncoding), and so as signatures are written: padded, line ends anywhere.
// Buffer.from() alone skips whatever is no base64 without a word.

const LINE_ENDS = /[\r\n]/g

/** The bytes; undefined when the text is anything but standard, padded base64. */
export function decodeBase64(text: string): Buffer | undefined {
  const digits = text.replace(LINE_ENDS, '')
  const bytes = Buffer.from(digits, 'base64')
  return bytes.toString('base64') === digits ? bytes : undefined
}
