// Whether this desktop shows tray icons at all: GNOME does not without an extension.
import { execFile } from 'node:child_process'

const query = [
  'call',
  '--session',
  '--dest=org.freedesktop.DBus',
  '--object-path=/org/freedesktop/DBus',
  '--method=org.freedesktop.DBus.NameHasOwner',
  'org.kde.StatusNotifierWatcher',
] as const

/** True where something on the session bus takes tray icons (StatusNotifierItem specification). */
export function hasTrayHost(): Promise<boolean> {
  return new Promise((resolve) => {
    execFile('gdbus', query, { timeout: 2000 }, (error, stdout) =>
      resolve(error === null && stdout.includes('true')),
    )
  })
}
