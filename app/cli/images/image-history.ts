// How an image was made: its history with the layer that each step left, where it left one (image-spec config.md).
import type { ImageDetails } from '../../../core/api/methods.ts'

export interface HistoryStep {
  readonly createdBy: string
  readonly createdAt?: string
  readonly comment: string
  /** Nothing where the step left no layer. */
  readonly layer?: ImageDetails['layers'][number]
}

/** The steps in their order, the first one first. Layers that no step tells of come at the end. */
export function historySteps({ history, layers }: Pick<ImageDetails, 'history' | 'layers'>): HistoryStep[] {
  const rest = [...layers]
  const steps = history.map(({ createdBy, createdAt, comment, empty }) => {
    const layer = empty ? undefined : rest.shift()
    return {
      createdBy,
      comment,
      ...(createdAt === undefined ? {} : { createdAt }),
      ...(layer === undefined ? {} : { layer }),
    }
  })
  return [...steps, ...rest.map((layer) => ({ createdBy: '', comment: '', layer }))]
}

/** What made a layer, in one line: without the shell that docker's builder puts before it. */
export function stepWords(createdBy: string): string {
  return createdBy
    .replace(/^\/bin\/sh -c #\(nop\)\s*/, '')
    .replace(/\s+/g, ' ')
    .trim()
}
