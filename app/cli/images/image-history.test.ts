import { describe, expect, it } from 'vitest'
import type { ImageDetails } from '../../../core/api/methods.ts'
import { historySteps, stepWords } from './image-history.ts'

const layer = (digest: string): ImageDetails['layers'][number] => ({
  digest,
  diffId: digest,
  sizeBytes: 1,
  mediaType: 'x',
})
const step = (createdBy: string, empty: boolean) => ({ createdBy, empty, comment: '' })

describe('historySteps()', () => {
  it('gives each step that is not empty its layer', () => {
    const history = [step('ADD', false), step('ENV', true), step('RUN', false)]
    const steps = historySteps({ history, layers: [layer('a'), layer('b')] })
    expect(steps.map(({ createdBy, layer: made }) => [createdBy, made?.digest])).toEqual([
      ['ADD', 'a'],
      ['ENV', undefined],
      ['RUN', 'b'],
    ])
  })

  it('leaves out no layer, where the history does or there is none', () => {
    expect(historySteps({ history: [step('ADD', false)], layers: [layer('a'), layer('b')] })).toHaveLength(2)
    expect(
      historySteps({ history: [step('ADD', false), step('RUN', false)], layers: [layer('a')] }),
    ).toHaveLength(2)
  })
})

describe('stepWords()', () => {
  it.each([
    ['/bin/sh -c #(nop)  CMD ["sh"]', 'CMD ["sh"]'],
    ['RUN a \\\n  && b', 'RUN a \\ && b'],
  ])('of %j are %j', (createdBy, words) => {
    expect(stepWords(createdBy)).toBe(words)
  })
})
