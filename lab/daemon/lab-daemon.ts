// The process behind one lab: owns QEMU and the lab's sockets, and lives on when the command that started it ends.
// Its configuration comes as JSON in the first argument; it says `listening` on its output once it can be asked.

import { rmSync } from 'node:fs'
import { acquireLock } from '../image/build-once.ts'
import { serveLab, writeIdentity } from './lab-server.ts'
import type { DaemonConfig } from './messages.ts'
import { RunningLab } from './running-lab.ts'

const config = JSON.parse(process.argv[2] ?? '') as DaemonConfig
const lock = await acquireLock(config.files.folder)
const lab = new RunningLab(config)

let ending: Promise<void> | undefined
const end = () => {
  ending ??= (async () => {
    await lab.stop()
    if (config.isDisposable) rmSync(config.files.folder, { recursive: true, force: true })
    else
      for (const path of [config.files.coreSocket, config.files.consoleSocket, config.files.labSocket])
        rmSync(path, { force: true })
    lock.close()
  })()
  return ending
}
const endAndExit = () => {
  end().then(
    () => process.exit(0),
    () => process.exit(1),
  )
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, endAndExit)
if (config.isDisposable) {
  // The pipe from the process that this lab belongs to; it ends when that one does, however it ends.
  process.stdin.on('end', endAndExit)
  process.stdin.on('error', endAndExit)
  process.stdin.resume()
}

const servers = await serveLab(lab, async () => {
  await end()
  // The client still gets its answer; then nothing keeps this process.
  setImmediate(() => {
    for (const server of servers) server.close()
    setTimeout(() => process.exit(0), 100)
  })
})
writeIdentity(lab)
process.stdout.write('listening\n')
// From here on its output goes nowhere: the process that started it may end.
process.stdout.on('error', () => {})

await lab.start()
lab.machine.ended.then((how) => {
  if (!ending) {
    process.stderr.write(`${new Date().toISOString()} QEMU ended: ${how}\n`)
    endAndExit()
  }
})
