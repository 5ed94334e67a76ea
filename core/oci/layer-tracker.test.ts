import { expect, test } from 'vitest'
import { digestOf } from './digest.ts'
import { LayerTracker } from './layer-tracker.ts'
import type { ImageProgress } from './progress.ts'

const layers = [100, 50, 10].map((size) => ({
  mediaType: 'application/vnd.oci.image.layer.v1.tar',
  digest: digestOf(Buffer.from(String(size))),
  size,
}))

const [big, middle, small] = layers
if (big === undefined || middle === undefined || small === undefined) throw new Error('three layers')

/** A tracker, and what it reported last: phase, bytes and each layer. */
function tracked() {
  const reports: ImageProgress[] = []
  const tracker = new LayerTracker(layers, 'download', (progress) => reports.push(progress))
  const last = () => {
    const { phase, bytesDone, bytesTotal, layers: each } = reports.at(-1) ?? { layers: [] }
    return [phase, bytesDone, bytesTotal, each.map((layer) => `${layer.state} ${layer.bytesDone}`)]
  }
  return { tracker, last }
}

test('tells what came while layers come, and what was unpacked from when all are here', () => {
  const { tracker, last } = tracked()
  tracker.present(small, { isUnpacked: true })
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
  expect(last()).toEqual(['unpack', 160, 160, ['done 100', 'done 50', 'present 10']])
})

test('a layer that starts over stands still until it is further than it was', () => {
  const { tracker, last } = tracked()
  tracker.received(big, 60)
  tracker.unpacked(big, 40)
  tracker.received(big, 0)
  tracker.unpacked(big, 10)
  expect(last()).toEqual(['download', 60, 160, ['active 60', 'waiting 0', 'waiting 0']])
  tracker.received(big, 70)
  expect(last()).toEqual(['download', 70, 160, ['active 70', 'waiting 0', 'waiting 0']])
})

test('a late report of bytes does not bring a download back', () => {
  const { tracker, last } = tracked()
  for (const layer of layers) tracker.brought(layer)
  tracker.received(big, 100)
  expect(last()).toEqual(['unpack', 0, 160, ['unpacking 0', 'unpacking 0', 'unpacking 0']])
})

test('leaves the bytes of a layer that was there without its segment to the build', () => {
  const { tracker, last } = tracked()
  tracker.present(big, { isUnpacked: false })
  tracker.present(small, { isUnpacked: true })
  tracker.brought(middle)
  tracker.done(middle)
  expect(last()).toEqual(['unpack', 60, 160, ['present 100', 'done 50', 'present 10']])
})
