import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { runToEnd, runUntilItListens } from './host-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-host-process-'))
afterAll(() => rmSync(folder, { recursive: true }))
const shell = (script: string) => ({ file: '/bin/sh', args: ['-c', script] })
const begin = () => {
  const steps: string[] = []
  const abort = new AbortController()
  return {
    steps,
    abort,
    options: { what: 'the lab', signal: abort.signal, onStep: (step: string) => steps.push(step) },
  }
}

it('runToEnd() tells each step', async () => {
  const { steps, options } = begin()
  await runToEnd(shell('echo Fetching >&2; echo; echo Booting >&2'), options)
  expect(steps).toEqual(['Fetching', 'Booting'])
})

it('runToEnd() fails with what the program said last', async () => {
  const { options } = begin()
  await expect(runToEnd(shell('echo Fetching >&2; echo No QEMU here >&2; exit 3'), options)).rejects.toThrow(
    'Cannot start the lab: Fetching. No QEMU here',
  )
  await expect(runToEnd(shell('exit 3'), options)).rejects.toThrow('Cannot start the lab: it ended with 3')
  await expect(runToEnd({ file: '/nowhere/program', args: [] }, options)).rejects.toThrow('ENOENT')
})

it('runToEnd() ends the program when it is given up', async () => {
  const { options, abort } = begin()
  const run = runToEnd({ file: '/bin/sleep', args: ['1000'] }, options)
  abort.abort()
  await expect(run).rejects.toMatchObject({ code: 'app.cannot-start' })
})

it('runUntilItListens() waits for the socket, and fails with a program that ends before', async () => {
  const socket = join(folder, 'core.sock')
  const script = `
    const server = require('node:net').createServer((client) => { client.destroy(); server.close() })
    server.listen(${JSON.stringify(socket)})`
  const { options } = begin()
  await runUntilItListens({ file: process.execPath, args: ['-e', script] }, socket, options)
  await expect(
    runUntilItListens(shell('echo Not allowed >&2; exit 127'), '/nowhere/core.sock', options),
  ).rejects.toThrow('Cannot start the lab: Not allowed')
})
