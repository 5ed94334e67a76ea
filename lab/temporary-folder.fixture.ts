// A folder for one test, gone when the test has ended.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** Makes a folder; call it in a test or in `beforeEach`. */
export function temporaryFolder(purpose: string): string {
  const folder = mkdtempSync(join(tmpdir(), `bulkhead-${purpose}-`))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
