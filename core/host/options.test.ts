import { describe, expect, it } from 'vitest'
import { parseOptions } from './options.ts'

describe('parseOptions()', () => {
  it('has the places of an installed system where nothing is said', () => {
    expect(parseOptions([])).toMatchObject({
      socketPath: '/run/bulkhead/core.sock',
      stateFolder: '/var/lib/bulkhead',
      registriesFile: undefined,
      networkFile: undefined,
      rootImageFormat: 'squashfs',
      xenstoreTransport: 'auto',
      lab: undefined,
    })
  })

  it('takes the settings for registries and the network, and the format of root images', () => {
    const args = ['--registries', '/tmp/registries.json', '--network-settings', '/tmp/network.json']
    expect(parseOptions([...args, '--root-image', 'erofs'])).toMatchObject({
      registriesFile: '/tmp/registries.json',
      networkFile: '/tmp/network.json',
      rootImageFormat: 'erofs',
    })
  })

  it.each([
    [['--root-image', 'ext4'], '--root-image is "squashfs" or "erofs", not "ext4"'],
    [['--xenstore', 'tcp'], '--xenstore is'],
    [['--owner', 'me'], "--owner takes a user's number"],
    [['--lab-listen', '127.0.0.1:1'], 'needs --lab-token-file'],
    [['--nonsense'], '--nonsense'],
  ])('refuses %j with a sentence', (args, sentence) => {
    const failure = (() => {
      try {
        return parseOptions(args)
      } catch (error) {
        return error
      }
    })()
    expect(failure).toMatchObject({ code: 'host.bad-option', message: expect.stringContaining(sentence) })
  })
})
