import { expect, test } from 'vitest'
import { domainId } from '../domain-id.ts'
import { diskNumber, vbdPaths } from './vbd.ts'
import { isBackendReady, readBackendState } from './xenbus-state.ts'

test('disks have the numbers of blkif.h: xvda, xvdb, xvdp, and the larger form from xvdq on', () => {
  expect([0, 1, 15, 16, 17].map(diskNumber)).toEqual([51712, 51728, 51952, 268439552, 268439808])
})

test('a disk has its two halves where the record says', () => {
  expect(vbdPaths(domainId(7), 51712)).toEqual([
    '/local/domain/0/backend/vbd/7/51712',
    '/local/domain/7/device/vbd/51712',
  ])
})

test('a state that is no state is unknown, whatever a guest wrote', () => {
  expect(['0', '1', '2', '4', '5', '6'].map(readBackendState)).toEqual([
    'unknown',
    'initialising',
    'waiting for the frontend',
    'connected',
    'closing',
    'closed',
  ])
  for (const value of [undefined, '', '9', '44', ' 4', '4\n', '-1', '__proto__']) {
    expect(readBackendState(value)).toBe('unknown')
  }
  expect([1, 2, 3, 4, 5].map((state) => isBackendReady(readBackendState(String(state))))).toEqual([
    false,
    true,
    true,
    true,
    false,
  ])
})
