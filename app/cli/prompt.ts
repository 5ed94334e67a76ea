// Questions to a person at a terminal. They go to stderr: stdout is for data.
import { StringDecoder } from 'node:string_decoder'
import type { CliContext } from './cli-context.ts'
import { CliError } from './failure.ts'

/** Asks for a line, which the terminal shows and lets the person correct. */
export async function ask(context: CliContext, question: string): Promise<string> {
  const { stdin, stderr } = context.process
  stderr.write(question)
  return await context.interruptible((signal) => readLine(stdin, typedLine, signal))
}

/** Asks for a line that nobody shall see. */
export async function askSecret(context: CliContext, question: string): Promise<string> {
  const { stdin, stderr } = context.process
  // Before the question: whoever is fast would be seen.
  stdin.setRawMode(true)
  stderr.write(question)
  try {
    return await context.interruptible((signal) => readLine(stdin, typedSecret, signal))
  } finally {
    stdin.setRawMode(false)
    stderr.write('\n')
  }
}

/** Asks for a yes; everything else is a no. */
export async function confirm(context: CliContext, question: string): Promise<boolean> {
  return /^y(es)?$/i.test((await ask(context, `${question} [y/N] `)).trim())
}

interface TypedLine {
  readonly line: string
  /** What was typed ahead. */
  readonly rest: string
}

/** Collects what comes until `findLine` sees a line in it; the end of the input ends the line. */
async function readLine(
  stdin: NodeJS.ReadStream,
  findLine: (text: string) => TypedLine | undefined,
  signal: AbortSignal,
): Promise<string> {
  const decoder = new StringDecoder('utf8')
  let text = ''
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const onData = (chunk: Buffer) => {
    text += decoder.write(chunk)
    try {
      const found = findLine(text)
      if (found === undefined) return
      stdin.off('data', onData)
      if (found.rest !== '') stdin.unshift(Buffer.from(found.rest))
      resolve(found.line)
    } catch (error) {
      reject(error)
    }
  }
  const onEnd = () => resolve(text)
  signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  stdin.on('data', onData).on('end', onEnd).resume()
  try {
    return await promise
  } finally {
    stdin.off('data', onData).off('end', onEnd).pause()
  }
}

/** In its usual mode the terminal gives whole lines, corrected. */
function typedLine(text: string): TypedLine | undefined {
  const end = text.indexOf('\n')
  if (end === -1) return undefined
  return { line: text.slice(0, end).replace(/\r$/, ''), rest: text.slice(end + 1) }
}

/** In raw mode the terminal corrects nothing and raises no signals: that is done here. */
function typedSecret(text: string): TypedLine | undefined {
  let line = ''
  for (const [index, character] of [...text].entries()) {
    switch (character) {
      case '\r':
      case '\n':
      case '\x04': // Ctrl-D
        return { line, rest: [...text].slice(index + 1).join('') }
      case '\x03': // Ctrl-C
        throw new CliError('cli.interrupted', 'Interrupted', { data: { signal: 'SIGINT' } })
      case '\x7f': // Backspace, on most terminals
      case '\b':
        line = [...line].slice(0, -1).join('')
        break
      case '\x15': // Ctrl-U
        line = ''
        break
      default:
        line += character
    }
  }
  return undefined
}
