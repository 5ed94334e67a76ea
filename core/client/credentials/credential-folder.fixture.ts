// A home of its own for tests of credentials, with helpers that are real programs and write down what they are asked.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Environment } from './auth-locations.ts'

export class CredentialFolder implements Disposable {
  readonly home = mkdtempSync(join(tmpdir(), 'bulkhead-credentials-'))

  /** Nothing of the test's own environment but its PATH, behind the helpers' folder. */
  get environment(): Environment {
    return {
      HOME: this.home,
      XDG_RUNTIME_DIR: join(this.home, 'run'),
      PATH: `${join(this.home, 'bin')}:${process.env.PATH}`,
    }
  }

  path(name: string): string {
    return join(this.home, name)
  }

  write(name: string, content: unknown, mode = 0o600): string {
    const path = this.path(name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
    chmodSync(path, mode)
    return path
  }

  json(name: string): Record<string, unknown> {
    return JSON.parse(readFileSync(this.path(name), 'utf8'))
  }

  /** Installs `docker-credential-NAME`: a shell script that finds its verb in `$1` and what it is told in `$input`. */
  helper(name: string, script: string): void {
    const lines = ['#!/bin/sh', 'input=$(cat)', `printf '%s\\n' "$1 $input" >> ${this.path('asked')}`, script]
    this.write(`bin/docker-credential-${name}`, `${lines.join('\n')}\n`, 0o755)
  }

  /** What helpers were asked, `VERB INPUT` each. */
  get asked(): string[] {
    const path = this.path('asked')
    return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : []
  }

  [Symbol.dispose](): void {
    rmSync(this.home, { recursive: true, force: true })
  }
}

/** An entry of `auths` as a login makes it. */
export function authEntry(pair: string): { auth: string } {
  return { auth: Buffer.from(pair).toString('base64') }
}
