import { buffer } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import {
  type ArchiveJob,
  archiveBuffer,
  exportSession,
  importSession,
  writeArchive,
} from './archive-sessions.ts'
import type { OutputEvent } from './broker/output-stream.ts'

/** A job that runs until somebody ends it. */
function running() {
  const job = {
    ended: '',
    isOver: () => job.ended !== '',
    cancel: () => {
      job.ended = 'cancelled'
    },
  }
  return job satisfies ArchiveJob
}

describe('importSession()', () => {
  it('feeds the archive as it is read, and ends it', async () => {
    const archive = archiveBuffer()
    const session = importSession(archive, running())
    const read = buffer(archive)
    for (let count = 0; count < 100; count++) await session.input?.write(Buffer.alloc(100_000, count))
    session.input?.end()
    expect((await read).length).toBe(10_000_000)
  })

  it('waits while nobody reads', async () => {
    const archive = archiveBuffer()
    const session = importSession(archive, running())
    let written = 0
    const writing = (async () => {
      while (written < 50) await session.input?.write(Buffer.alloc(100_000)).then(() => written++)
    })()
    await new Promise((resolve) => setImmediate(resolve))
    expect(written).toBeLessThan(25)
    archive.resume()
    await writing
  })

  it('takes and drops the rest once the job is over', async () => {
    const archive = archiveBuffer()
    const job = running()
    const session = importSession(archive, job)
    job.ended = 'failed'
    archive.destroy()
    for (let count = 0; count < 100; count++) await session.input?.write(Buffer.alloc(100_000))
    session.close()
    expect(job.ended).toBe('failed')
  })

  it('ends the job when the connection closes before the archive is whole, and only then', async () => {
    const [cut, whole] = [running(), running()]
    const archive = archiveBuffer()
    importSession(archive, cut).close()
    expect(cut.ended).toBe('cancelled')
    await expect(buffer(archive)).rejects.toMatchObject({ code: 'image.import-cut' })
    const session = importSession(archiveBuffer(), whole)
    session.input?.end()
    session.close()
    expect(whole.ended).toBe('')
  })
})

describe('exportSession()', () => {
  const eventsOf = (session: ReturnType<typeof exportSession>) => {
    const [events] = session.outputs
    if (events === undefined) throw new Error('no output')
    return events
  }

  it('gives pieces that fit a frame, with their offsets, and the end', async () => {
    const archive = archiveBuffer()
    const events = eventsOf(exportSession(archive, running()))
    archive.end(Buffer.alloc(150_000, 'x'))
    const seen: OutputEvent[] = []
    for await (const event of events) seen.push(event)
    expect(seen.map(({ kind, offset }) => [kind, offset])).toEqual([
      ['data', 0],
      ['data', 65536],
      ['data', 131072],
      ['end', 150_000],
    ])
  })

  it('holds the writer back while the client does not read', async () => {
    const archive = archiveBuffer()
    const events = eventsOf(exportSession(archive, running()))
    let written = 0
    const writing = (async () => {
      while (written < 50) await writeArchive(archive, Buffer.alloc(100_000)).then(() => written++)
      archive.end()
    })()
    await new Promise((resolve) => setImmediate(resolve))
    expect(written).toBeLessThan(25)
    let received = 0
    for await (const event of events) if (event.kind === 'data') received += event.bytes.length
    await writing
    expect(received).toBe(5_000_000)
  })

  it("fails with the archive's error", async () => {
    const archive = archiveBuffer()
    const events = eventsOf(exportSession(archive, running()))
    archive.write('some')
    archive.destroy(Object.assign(new Error('a blob is damaged'), { code: 'oci.corrupt-store' }))
    await expect(
      (async () => {
        for await (const event of events) expect(event.kind).toBe('data')
      })(),
    ).rejects.toMatchObject({ code: 'oci.corrupt-store' })
  })

  it('ends the job when nobody comes for it, or leaves before the end', async () => {
    const job = running()
    const archive = archiveBuffer()
    exportSession(archive, job).close()
    expect(job.ended).toBe('cancelled')
    await expect(writeArchive(archive, Buffer.alloc(1))).rejects.toThrow()
  })
})
