import { describe, expect, it } from 'vitest'
import { parsePorts, portOption, portWords } from './published-ports.ts'

describe('parsePorts()', () => {
  it.each(['', ' ', '80', '8080:80, 8081:80', '53:53/udp 53:53/tcp'])(
    'reads %j as the command does',
    (typed) => {
      const options = parsePorts(typed)?.map((port) => portOption(port).replace('-p ', ''))
      expect(options).toEqual(
        typed.split(/[ ,]+/).flatMap((word) => (word === '' ? [] : [word.replace('/tcp', '')])),
      )
    },
  )
  it.each(['web', '0', '80:0', '65536:80', '80:80/sctp', '1:2:3', '80:80 80:81'])('refuses %j', (typed) => {
    expect(parsePorts(typed)).toBeUndefined()
  })
})

describe('portWords()', () => {
  it.each([
    ['', 'localhost:8080 → 80/tcp'],
    ['0.0.0.0', '0.0.0.0:8080 → 80/tcp'],
    ['::1', '[::1]:8080 → 80/tcp'],
  ])('says where a port of %j is', (bind, words) => {
    expect(portWords({ protocol: 'tcp', bind, hostPort: 8080, guestPort: 80 })).toBe(words)
  })
})
