import { describe, expect, it } from 'vitest'
import type { MethodHandler } from '../../../core/client/scripted-core.fixture.ts'
import { runCommand, setUpForEach } from '../command-line.fixture.ts'
import { details, digest, layer, summary } from './image-samples.fixture.ts'

const { start } = setUpForEach()

describe('lists of images', () => {
  it('are filtered by name, and have digests where wanted', async () => {
    const other = { ...summary, reference: 'localhost:5000/other:1' }
    const { socketPath } = await start({ methods: { 'images.list': () => [summary, other] } })
    expect((await runCommand(['image', 'ls', '--digests', 'busybox'], { socketPath })).stdout).toBe(
      `REPOSITORY   TAG    DIGEST${' '.repeat(68)}IMAGE ID       CREATED   SIZE\n` +
        `busybox      1.36   ${digest}   abababababab   N/A       4.26MB\n`,
    )
    const filtered = await runCommand(['images', '--filter', 'reference=localhost:5000/*', '--json'], {
      socketPath,
    })
    expect(JSON.parse(filtered.stdout)).toEqual([other])
    expect(await runCommand(['images', '--filter', 'size=3'], { socketPath })).toMatchObject({
      status: 2,
      stderr: 'bulkhead: Cannot filter by "size=3"\n  Write --filter reference=PATTERN.\n',
    })
  })

  it("history has docker's columns, the last step first", async () => {
    const { socketPath } = await start({ methods: { 'images.inspect': () => details } })
    expect((await runCommand(['history', 'busybox'], { socketPath })).stdout).toBe(
      [
        `IMAGE          CREATED   CREATED BY${' '.repeat(38)}SIZE   COMMENT`,
        `abababababab   N/A       RUN ${'x'.repeat(40)}…   12B    buildkit`,
        `<missing>      N/A       ENV A=b${' '.repeat(41)}0B`,
        `<missing>      N/A       ADD file:1 in /${' '.repeat(33)}5MB`,
        '',
      ].join('\n'),
    )
    const whole = (await runCommand(['image', 'history', '--no-trunc', 'busybox'], { socketPath })).stdout
    expect(whole).toContain(`RUN ${'x'.repeat(60)}`)
    expect(whole).toContain(digest)
    expect((await runCommand(['history', '-q', 'busybox'], { socketPath })).stdout).toBe(
      'abababababab\n<missing>\n<missing>\n',
    )
    expect(
      JSON.parse((await runCommand(['history', '--json', 'busybox'], { socketPath })).stdout)[2],
    ).toEqual({
      createdBy: '/bin/sh -c #(nop) ADD file:1 in /',
      comment: '',
      empty: false,
      layer: layer('11').digest,
      sizeBytes: 2_000_000,
      contentBytes: 5_000_000,
    })
  })

  it('layers tells what each holds and what made it', async () => {
    const layers = [details.layers[0], layer('22')]
    const { socketPath } = await start({ methods: { 'images.inspect': () => ({ ...details, layers }) } })
    expect((await runCommand(['image', 'layers', 'busybox'], { socketPath })).stdout).toBe(
      'DIGEST         SIZE   UNPACKED   FILES   CREATED BY\n' +
        '111111111111   2MB    5MB        400     ADD file:1 in /\n' +
        `222222222222   2MB    -          -       RUN ${'x'.repeat(55)}…\n`,
    )
    expect(
      JSON.parse((await runCommand(['image', 'layers', '--json', 'busybox'], { socketPath })).stdout),
    ).toEqual([
      { ...layers[0], createdBy: '/bin/sh -c #(nop) ADD file:1 in /' },
      { ...layers[1], createdBy: `RUN ${'x'.repeat(60)}` },
    ])
  })
})

describe('bulkhead image tags', () => {
  const all = Array.from({ length: 2500 }, (_, index) => `t${String(index).padStart(4, '0')}`)
  const listTags: MethodHandler = ({ repository, after, limit }) => {
    const first = after === undefined ? 0 : all.indexOf(String(after)) + 1
    const tags = all.slice(first, first + Number(limit))
    return { repository, tags, hasMore: first + tags.length < all.length }
  }

  it('lists a hundred, and says that there are more', async () => {
    const { socketPath, calls } = await start({ methods: { 'images.tags': listTags } })
    expect(await runCommand(['image', 'tags', 'app'], { socketPath })).toMatchObject({
      status: 0,
      stdout: all
        .slice(0, 100)
        .map((tag) => `${tag}\n`)
        .join(''),
      stderr: 'There are more: see all with --all, or more with --limit NUMBER\n',
    })
    expect(calls[0]?.params).toEqual({ repository: 'app', limit: 100 })
  })

  it('goes through the pages for all of them, or as many as are wanted', async () => {
    const { socketPath, calls } = await start({ methods: { 'images.tags': listTags } })
    const { stdout, stderr } = await runCommand(['image', 'tags', '--all', '--json', 'app'], { socketPath })
    expect([JSON.parse(stdout), stderr]).toEqual([all, ''])
    expect(calls.map(({ params }) => params.after)).toEqual([undefined, 't0999', 't1999'])
    const some = await runCommand(['image', 'tags', '--limit', '1200', 'app'], { socketPath })
    expect(some.stdout.trimEnd().split('\n')).toEqual(all.slice(0, 1200))
  })

  it.each([[['--limit', 'ten']], [['--limit', '0']], [['--all', '--limit', '3']]])(
    'refuses %j',
    async (words) => {
      expect(await runCommand(['image', 'tags', ...words, 'app'])).toMatchObject({ status: 2, stdout: '' })
    },
  )
})
