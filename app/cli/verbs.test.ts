import { describe, expect, it } from 'vitest'
import { verbHelp } from './help.ts'
import { verbCommand } from './verb-command.ts'
import { findVerb, verbs } from './verbs.ts'

describe('findVerb()', () => {
  it.each([
    ['ps -a', 'ps', ['-a']],
    ['image inspect x', 'image inspect', ['x']],
    ['run image inspect', 'run', ['image', 'inspect']],
  ])('finds the verb of %j', (line, name, rest) => {
    const found = findVerb(line.split(' '))
    expect([found.verb.name, found.rest]).toEqual([name, rest])
  })

  it.each([
    ['rnu', 'Did you mean "bulkhead run"'],
    ['insp', 'Did you mean "bulkhead inspect"'],
    ['pul', 'Did you mean "bulkhead pull"'],
    ['swarm', 'See "bulkhead help".'],
    ['host', 'There is "bulkhead host info", "bulkhead host check" or "bulkhead host dmesg".'],
    ['host load', 'There is "bulkhead host info"'],
  ])('helps who typed %j', (line, hint) => {
    expect(() => findVerb(line.split(' '))).toThrow(
      expect.objectContaining({ hint: expect.stringContaining(hint) }),
    )
  })
})

describe('every verb', () => {
  it.each(verbs)('$name has help with examples', async (verb) => {
    const { configure } = await verb.load()
    const command = verbCommand(verb)
    configure(command)
    const help = verbHelp(command)
    expect(help).toContain(`Usage: bulkhead ${verb.name}`)
    expect(help).toMatch(/\nExamples:\n {2}bulkhead \S/)
  })
})
