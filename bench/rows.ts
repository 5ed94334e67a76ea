// What every bench prints: ours and a peer's figure side by side, as a ratio. DESIGN 9.

export interface BenchRow {
  readonly what: string
  readonly unit: string
  readonly ours: number
  readonly peer: number
  readonly peerName: string
  /** Ours ÷ peer. */
  readonly ratio: number
  readonly better: 'lower' | 'higher'
  /** The ratio that we aim at; null where there is none. */
  readonly aim: number | null
}

export function row(values: Omit<BenchRow, 'ratio'>): BenchRow {
  return { ...values, ratio: values.ours / values.peer }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other)
  const middle = sorted.length >> 1
  const high = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? Number.NaN) + high) / 2
}

/** A table for people; says plainly where an aim is missed. */
export function formatRows(rows: readonly BenchRow[]): string {
  const lines = rows.map(({ what, unit, ours, peer, peerName, ratio, better, aim }) => {
    const met =
      aim === null
        ? ''
        : (better === 'lower' ? ratio <= aim : ratio >= aim)
          ? `  aim ${aim} met`
          : `  aim ${aim} MISSED`
    return `${what}\n    ours ${figure(ours)} ${unit}   ${peerName} ${figure(peer)} ${unit}   ratio ${ratio.toFixed(2)} (${better} is better)${met}`
  })
  return lines.join('\n')
}

/** Three digits that count. */
function figure(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3)
}
