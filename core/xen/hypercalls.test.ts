import { expect, test } from 'vitest'
import { openXenDevice } from './hypercalls.ts'

test('a device that is not there says so, and what to do', () => {
  let failure: unknown
  try {
    openXenDevice('/dev/xen/absent')
  } catch (error) {
    failure = error
  }
  expect(failure).toMatchObject({
    code: 'xen.not-dom0',
    message: expect.stringMatching(/^Cannot open \/dev\/xen\/absent: /),
    hint: expect.stringMatching(/Boot this machine with Xen|modprobe xen-absent/),
  })
})
