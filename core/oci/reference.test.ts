import { describe, expect, test } from 'vitest'
import { familiarReference, formatReference, parseReference, registryEndpoint } from './reference.ts'
import cases from './reference-cases.json' with { type: 'json' }

describe('parseReference()', () => {
  test.each(cases.valid)('reads "$text"', ({ text, familiar, ...expected }) => {
    const reference = parseReference(text)
    expect(reference).toEqual(expected)
    expect(familiarReference(reference)).toBe(familiar)
  })

  test.each(cases.invalid)('refuses "$text"', ({ text, reason }) => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'oci.bad-reference' }))
    expect(() => parseReference(text)).toThrow(reason)
  })

  test.each(cases.valid)('reads its own full and short form of "$text" as the same image', ({ text }) => {
    const reference = parseReference(text)
    expect(parseReference(formatReference(reference))).toEqual(reference)
    expect(parseReference(familiarReference(reference))).toEqual(reference)
  })
})

test('registryEndpoint() knows where Docker Hub is served', () => {
  expect(registryEndpoint('docker.io')).toBe('registry-1.docker.io')
  expect(registryEndpoint('quay.io')).toBe('quay.io')
})
