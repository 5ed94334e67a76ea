// Numbers and times in words, as `docker` has them.

const minute = 60
const hour = 60 * minute
const day = 24 * hour

/** `4.26MB`: three digits, decimal units. */
export function byteSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  let value = bytes
  let unit = 0
  while (Number(value.toPrecision(3)) >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${Number(value.toPrecision(3))}${units[unit]}`
}

/** How long something took or is ago: `5 seconds`, `About a minute`, `3 hours`. */
export function duration(seconds: number): string {
  if (seconds < 1) return 'Less than a second'
  const whole = Math.floor(seconds)
  if (whole === 1) return '1 second'
  if (whole < minute) return `${whole} seconds`
  const minutes = Math.floor(seconds / minute)
  if (minutes === 1) return 'About a minute'
  if (minutes < 60) return `${minutes} minutes`
  const hours = Math.round(seconds / hour)
  if (hours === 1) return 'About an hour'
  if (hours < 48) return `${hours} hours`
  if (hours < 24 * 14) return `${Math.floor(seconds / day)} days`
  if (hours < 24 * 60) return `${Math.floor(seconds / day / 7)} weeks`
  if (hours < 24 * 365 * 2) return `${Math.floor(seconds / day / 30)} months`
  return `${Math.floor(seconds / day / 365)} years`
}

/** A time in columns of many: `0s`, `59s`, `3m`, `26h`, `12d`. */
export function shortDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  if (seconds < minute) return `${seconds}s`
  if (seconds < hour) return `${Math.floor(seconds / minute)}m`
  if (seconds < 2 * day) return `${Math.floor(seconds / hour)}h`
  return `${Math.floor(seconds / day)}d`
}

/** How long ago a moment of the API (ISO 8601) was: `3 minutes ago`. */
export function timeAgo(moment: string, nowMs: number): string {
  return `${timeSince(moment, nowMs)} ago`
}

/** How long it is since a moment of the API, without "ago". */
export function timeSince(moment: string, nowMs: number): string {
  return duration(Math.max(0, (nowMs - Date.parse(moment)) / 1000))
}
