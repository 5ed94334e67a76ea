import { expect, test } from 'vitest'
import { digestOf } from './digest.ts'
import { LayerTracker } from './layer-tracker.ts'
import type { ImageProgress } from './progress.ts'

const layers = [100, 50, 10].map((size) => ({
  mediaType: 'application/vnd.oci.image.layer.v1.tar',
  digest: digestOf(Buffer.from(String(size))),
  size,
}))

test('tells what came while layers come, and what was unpacked when all are here', () => {
  const reports: ImageProgress[] = []
  const tracker = new LayerTracker(layers, 'download', (progress) => reports.push(progress))
  const [big, middle, small] = layers
  if (big === undefined || middle === undefined || small === undefined) throw new Error('three layers')
  const last = () => {
    const { phase, bytesDone, bytesTotal, layers: each } = reports.at(-1) ?? { layers: [] }
    return [phase, bytesDone, bytesTotal, each.map((layer) => `${layer.state} ${layer.bytesDone}`)]
  }
  tracker.present(small)
  expect(last()).toEqual(['download', 10, 160, ['waiting 0', 'waiting 0', 'present 10']])
  tracker.received(big, 60)
  tracker.unpacked(big, 40)
  expect(last()).toEqual(['download', 70, 160, ['active 60', 'waiting 0', 'present 10']])
  tracker.brought(big)
  tracker.received(middle, 20)
  expect(last()).toEqual(['download', 130, 160, ['unpacking 40', 'active 20', 'present 10']])
  tracker.brought(middle)
  expect(last()).toEqual(['unpack', 50, 160, ['unpacking 40', 'unpacking 0', 'present 10']])
  tracker.done(big)
  tracker.done(middle)
  expect(last()).toEqual(['download', 160, 160, ['done 100', 'done 50', 'present 10']])
})
