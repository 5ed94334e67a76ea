// What a process has used, as the kernel counts it. proc_pid_stat(5), proc_pid_status(5).
import { readdirSync, readFileSync } from 'node:fs'

/** USER_HZ of x86-64 Linux. */
const TICKS_PER_SECOND = 100

/** Processor time of all its threads, in clock ticks of 10 ms. */
export function cpuTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // The name in parentheses may have anything in it; fields are counted from behind it. 14 and 15 are utime and stime.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

export function cpuSeconds(pid: number): number {
  return cpuTicks(pid) / TICKS_PER_SECOND
}

export function residentBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
  if (kibibytes === undefined) throw new Error(`Process ${pid} has no resident memory`)
  return Number(kibibytes) * 1024
}

export function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}
