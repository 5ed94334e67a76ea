// The keys that leave a guest without ending it. One key by default, Ctrl-], as in telnet, `virsh` and `xl console`;
// docker's two, Ctrl-P Ctrl-Q, take Ctrl-P from every shell.
import { UsageError } from '../failure.ts'

export const defaultDetachKeys = 'ctrl-]'

const controls: Readonly<Record<string, number>> = { '@': 0, '[': 27, '\\': 28, ']': 29, '^': 30, _: 31 }

/** Docker's way of writing keys: `ctrl-]`, `ctrl-p,ctrl-q`, `q`. An empty text means none. */
export function parseDetachKeys(text: string): readonly number[] {
  if (text === '') return []
  return text.split(',').map((key) => {
    if (/^[\x21-\x7e]$/.test(key)) return key.charCodeAt(0)
    const [, letter = ''] = /^ctrl-([a-z@[\\\]^_])$/i.exec(key) ?? []
    const code = /[a-z]/i.test(letter) ? letter.toLowerCase().charCodeAt(0) - 96 : controls[letter]
    if (code !== undefined) return code
    throw new UsageError(`Cannot use "${key}" as a detach key`, {
      hint: 'Write a letter, or ctrl- and one of a-z @ [ \\ ] ^ _, with commas between: ctrl-p,ctrl-q.',
    })
  })
}

export interface ScannedInput {
  /** What is for the program. */
  readonly bytes: Uint8Array
  /** The keys were pressed; what came behind them is dropped. */
  readonly isDetached: boolean
}

/** Looks for the keys in what is typed. Of keys that are several, only those that may still become them wait. */
export class DetachScanner {
  readonly #keys: readonly number[]
  #matched = 0

  constructor(keys: readonly number[]) {
    this.#keys = keys
  }

  scan(input: Uint8Array): ScannedInput {
    if (this.#keys.length === 0) return { bytes: input, isDetached: false }
    const bytes: number[] = []
    for (const byte of input) {
      this.#take(byte, bytes)
      if (this.#matched === this.#keys.length) return { bytes: Uint8Array.from(bytes), isDetached: true }
    }
    return { bytes: Uint8Array.from(bytes), isDetached: false }
  }

  #take(byte: number, bytes: number[]): void {
    // What was held back may begin with the keys again, further on (a, a, b in a, a, a, b).
    const held = [...this.#keys.slice(0, this.#matched), byte]
    let start = 0
    while (!this.#isPrefix(held.slice(start))) start++
    bytes.push(...held.slice(0, start))
    this.#matched = held.length - start
  }

  #isPrefix(bytes: readonly number[]): boolean {
    return bytes.every((byte, index) => byte === this.#keys[index])
  }
}
