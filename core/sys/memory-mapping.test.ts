import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EventCounter } from './event-counter.ts'
import { openFile } from './file-descriptor.ts'
import { ioctl, pread, read } from './libc.ts'
import { mapMemory } from './memory-mapping.ts'
import { allocateNativeMemory } from './native-memory.ts'
import { PollSet } from './poll-set.ts'
import { SystemError } from './system-error.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mapping-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function fileOf(content: Uint8Array): string {
  const path = join(folder, `file-${Math.random()}`)
  writeFileSync(path, content)
  return path
}

describe('mapMemory()', () => {
  test('shows and changes the file, and pread() fills it in place', () => {
    using file = openFile(fileOf(new Uint8Array(8192).fill(7)), 'r+')
    using mapping = mapMemory({ fd: file.fd, sizeBytes: 8192 }, 'map a file')
    expect(mapping.bytes[8191]).toBe(7)
    mapping.bytes[0] = 9
    const memory = allocateNativeMemory(2)
    expect(pread(file.fd, { buffer: memory.address, sizeBytes: 2, fileOffset: 0 }, 'read')).toBe(2)
    expect([...memory.bytes]).toEqual([9, 7])
  })

  test('leaves views that outlive it empty instead of dangling', () => {
    using file = openFile(fileOf(new Uint8Array(4096).fill(7)), 'r+')
    const mapping = mapMemory({ fd: file.fd, sizeBytes: 4096 }, 'map a file')
    const view = mapping.bytes
    mapping[Symbol.dispose]()
    mapping[Symbol.dispose]()
    expect(view.length).toBe(0)
    expect(view[0]).toBeUndefined()
    expect(() => mapping.bytes).toThrow('unmapped')
  })

  test('can be made and undone at one address many times', () => {
    using file = openFile(fileOf(new Uint8Array(4096)), 'r+')
    for (let round = 0; round < 20_000; round++) {
      using mapping = mapMemory({ fd: file.fd, sizeBytes: 4096 }, 'map a file')
      mapping.bytes[0] = round
    }
  })
})

describe('system calls', () => {
  test('fail with the name of the errno and what was tried', () => {
    const failure = catchError(() => ioctl(9999, 1, 0, 'talk to nobody'))
    expect(failure).toBeInstanceOf(SystemError)
    expect(failure).toMatchObject({ errorName: 'EBADF', code: 'sys.EBADF' })
    expect(String(failure)).toContain('Cannot talk to nobody: ')
    expect(catchError(() => read(9999, 0, 1, 'read'))).toMatchObject({ errorName: 'EBADF' })
  })
})

describe('EventCounter and PollSet', () => {
  test('tell which descriptor was signalled', () => {
    using first = new EventCounter()
    using second = new EventCounter()
    const set = new PollSet([first.fd, second.fd])
    set.wait(0)
    expect([set.isReady(0), set.isReady(1)]).toEqual([false, false])
    second.signal()
    second.signal()
    set.wait(-1)
    expect([set.isReady(0), set.isReady(1)]).toEqual([false, true])
    expect(second.drain()).toBe(2)
    expect(second.drain()).toBe(0)
    set.setEnabled(1, false)
    second.signal()
    set.wait(0)
    expect(set.isReady(1)).toBe(false)
  })

  test('wake a worker thread that waits in poll(2), and koffi works there', async () => {
    using counter = new EventCounter()
    const worker = new Worker(
      `const { workerData, parentPort } = require('node:worker_threads')
       const { pathToFileURL } = require('node:url')
       import(workerData.module).then(({ PollSet }) => {
         const set = new PollSet([workerData.fd])
         parentPort.postMessage('waiting')
         set.wait(-1)
         parentPort.postMessage(set.isReady(0))
       })`,
      { eval: true, workerData: { fd: counter.fd, module: new URL('./poll-set.ts', import.meta.url).href } },
    )
    expect((await once(worker, 'message'))[0]).toBe('waiting')
    const answer = once(worker, 'message')
    counter.signal()
    expect((await answer)[0]).toBe(true)
    await once(worker, 'exit')
  })
})

function catchError(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}
