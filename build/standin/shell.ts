// shell.openExternal: recorded for tests; without a test it is the desktop's own opener.
import { spawn } from 'node:child_process'
import { isControlled, onControl } from './control.ts'

const opened: string[] = []

export const shell = {
  async openExternal(url: string): Promise<void> {
    opened.push(url)
    if (!isControlled) spawn('xdg-open', [url], { stdio: 'ignore', detached: true }).unref()
  },
}

onControl('shell.opened', () => opened)
