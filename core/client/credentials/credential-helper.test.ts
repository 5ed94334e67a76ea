import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { CredentialFolder } from './credential-folder.fixture.ts'
import { eraseInHelper, getFromHelper, storeInHelper } from './credential-helper.ts'

let folder: CredentialFolder
beforeEach(() => {
  folder = new CredentialFolder()
})
afterEach(() => folder[Symbol.dispose]())
const options = (timeoutMs?: number) => ({ environment: folder.environment, timeoutMs })

describe('getFromHelper()', () => {
  it.each(['../evil', 'a b', 'A', '', 'x;y', '$(x)'])('runs nothing called %j', async (name) => {
    await expect(getFromHelper(name, 'a.io', options())).rejects.toMatchObject({ code: 'client.credentials' })
  })

  it('passes on what a helper says of its failure', async () => {
    folder.helper('x', 'echo "pass is locked"; exit 1')
    await expect(getFromHelper('x', 'a.io', options())).rejects.toThrow(
      'Cannot let docker-credential-x get the credentials of a.io: pass is locked',
    )
  })

  it.each([
    ['fails after its answer', `echo '{"Username":"me","Secret":"hunter2"}'; exit 3`, 'it ended with 3'],
    ['answers with half of it', `echo '{"Username":"me","Secret":"hunter2'`, 'its answer was not understood'],
    ['answers without a secret', `echo '{"Username":"hunter2"}'`, 'its answer was not understood'],
  ])('shows no secret of one that %s', async (_what, script, reason) => {
    folder.helper('x', script)
    const failure = await getFromHelper('x', 'a.io', options()).catch((error: unknown) => error)
    expect(failure).toMatchObject({
      message: `Cannot let docker-credential-x get the credentials of a.io: ${reason}`,
    })
    expect(inspect(failure)).not.toContain('hunter2')
  })

  it('ends one that does not answer, with what it started', async () => {
    folder.helper('x', 'sleep 1000 & wait')
    await expect(getFromHelper('x', 'a.io', options(300))).rejects.toThrow('it did not answer for 0.3 s')
  })

  it('does not mind one that reads nothing', async () => {
    folder.write('bin/docker-credential-deaf', '#!/bin/sh\necho \'{"Username":"me","Secret":"x"}\'\n', 0o755)
    expect(await getFromHelper('deaf', 'a.io', options())).toMatchObject({ kind: 'found' })
  })
})

describe('storeInHelper() and eraseInHelper()', () => {
  it('say everything through stdin', async () => {
    folder.helper('x', 'echo "$@" > "$HOME/words"')
    await storeInHelper('x', 'a.io', { username: 'me', password: 'hunter2' }, options())
    await storeInHelper('x', 'b.io', { identityToken: 'tok' }, options())
    await eraseInHelper('x', 'a.io', options())
    expect(folder.asked).toEqual([
      'store {"ServerURL":"a.io","Username":"me","Secret":"hunter2"}',
      'store {"ServerURL":"b.io","Username":"<token>","Secret":"tok"}',
      'erase a.io',
    ])
  })

  it('do not repeat a secret that the helper repeats', async () => {
    folder.helper('x', 'echo "cannot keep hunter2"; exit 1')
    await expect(
      storeInHelper('x', 'a.io', { username: 'me', password: 'hunter2' }, options()),
    ).rejects.toThrow('Cannot let docker-credential-x keep the credentials of a.io: it failed')
  })

  it('say what the helper says of its failure', async () => {
    folder.helper('x', 'echo "there is no such key"; exit 1')
    await expect(eraseInHelper('x', 'a.io', options())).rejects.toThrow(
      'Cannot let docker-credential-x forget the credentials of a.io: there is no such key',
    )
  })
})
