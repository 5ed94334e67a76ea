import { describe, expect, it } from 'vitest'
import { CoreError } from './core-error.ts'
import { type ResolveTargetOptions, resolveTarget } from './target.ts'

const nothing: ResolveTargetOptions = {
  environment: {},
  localSocketPath: '/nowhere/core.sock',
  isDom0: () => false,
  findLab: () => undefined,
}
const labs: ResolveTargetOptions = { ...nothing, findLab: (name = 'default') => `/cache/${name}.sock` }
const codeOf = (options: ResolveTargetOptions) =>
  resolveTarget(options).then(
    ({ socketPath }) => socketPath,
    (error: unknown) => (error instanceof CoreError ? error.code : String(error)),
  )

describe('resolveTarget()', () => {
  it.each<[string, ResolveTargetOptions, string]>([
    ['a socket by its address', { ...nothing, host: 'unix:///run/x.sock' }, '/run/x.sock'],
    ['a socket by its path', { ...nothing, host: '/run/x.sock' }, '/run/x.sock'],
    ['a socket by a relative path', { ...nothing, host: './x.sock' }, `${process.cwd()}/x.sock`],
    ['the lab', { ...labs, host: 'lab' }, '/cache/default.sock'],
    ['a lab by its name', { ...labs, host: 'lab:two' }, '/cache/two.sock'],
    ['what BULKHEAD_HOST says', { ...labs, environment: { BULKHEAD_HOST: 'lab:two' } }, '/cache/two.sock'],
    ['--host before BULKHEAD_HOST', { ...labs, host: '/a', environment: { BULKHEAD_HOST: '/b' } }, '/a'],
    ['this dom0 before a lab', { ...labs, isDom0: () => true }, '/nowhere/core.sock'],
    ['a running lab last', labs, '/cache/default.sock'],
  ])('takes %s', async (_what, options, path) => {
    expect(await codeOf(options)).toBe(path)
  })

  it.each<[string, ResolveTargetOptions, string]>([
    ['there is none', nothing, 'client.no-host'],
    ['the lab named is not up', { ...nothing, host: 'lab:two' }, 'client.no-lab'],
    ['the name is not understood', { ...nothing, host: 'ssh://there' }, 'client.bad-host'],
    ['the name is a bare word', { ...nothing, host: 'there' }, 'client.bad-host'],
  ])('says so where %s', async (_what, options, code) => {
    expect(await codeOf(options)).toBe(code)
  })
})
