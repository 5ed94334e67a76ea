import { describe, expect, it } from 'vitest'
import type { RunConfig } from '../api/methods.ts'
import { processSpec } from '../api/schemas/guests.ts'
import { planProcess } from './process-plan.ts'

const image: RunConfig = {
  entrypoint: ['/entry'],
  command: ['serve', '--all'],
  env: ['PATH=/bin', 'A=image'],
  cwd: '/srv',
  user: 'www-data',
  exposedPorts: [],
  volumes: [],
  labels: {},
}
const plan = (asked: object, config: Partial<RunConfig> = {}) =>
  planProcess(processSpec.parse(asked), { ...image, ...config })

describe('planProcess()', () => {
  it.each([
    [{}, ['/entry', 'serve', '--all']],
    [{ command: ['other'] }, ['/entry', 'other']],
    [{ entrypoint: ['sh'] }, ['sh']],
    [{ entrypoint: ['sh'], command: ['-c', 'x'] }, ['sh', '-c', 'x']],
    [{ entrypoint: [], command: ['ls'] }, ['ls']],
  ])('makes of %j the command %j', (asked, argv) => {
    expect(plan(asked).argv).toEqual(argv)
  })

  it('lets given variables win and keeps the rest', () => {
    expect(plan({ env: ['A=mine', 'B=x=y'] }).env).toEqual(['PATH=/bin', 'A=mine', 'B=x=y'])
  })

  it('takes user and folder from the image unless they are given', () => {
    expect(plan({})).toMatchObject({ user: 'www-data', cwd: '/srv' })
    expect(plan({ user: '0', cwd: '/' })).toMatchObject({ user: '0', cwd: '/' })
    expect(plan({}, { cwd: '' }).cwd).toBe('/')
  })

  it('says so where there is nothing to run', () => {
    expect(() => plan({ entrypoint: [] })).toThrow('Cannot tell what to run')
  })
})
