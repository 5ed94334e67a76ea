// Labels of a guest: `-l KEY=VALUE`.
import { UsageError } from '../failure.ts'

/** `KEY=VALUE`; `KEY` alone has an empty value; of two for one key the last one counts. */
export function parseLabels(entries: readonly string[]): Record<string, string> {
  const labels = entries.map((entry) => {
    const equals = entry.indexOf('=')
    const key = equals === -1 ? entry : entry.slice(0, equals)
    if (key === '') throw new UsageError(`Cannot use the label "${entry}": it has no key`)
    return [key, equals === -1 ? '' : entry.slice(equals + 1)]
  })
  return Object.fromEntries(labels)
}
