// Signals that this process gets, passed on to the program in the guest.
import { constants } from 'node:os'

// All that docker forwards (all but CHLD, PIPE and URG), less those of a shell's job control, which mean this process,
// and those that no program can catch or that tell of its own faults.
const forwarded = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGABRT',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGTERM',
  'SIGCONT',
  'SIGIO',
  'SIGPWR',
  'SIGSYS',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGVTALRM',
  'SIGWINCH',
] as const satisfies readonly NodeJS.Signals[]

const signalsThatForce = 3

export interface SignalTarget {
  /** Passes a signal on, by its number on Linux. */
  readonly send: (signalNumber: number) => void
  /** The program's terminal takes a new size in place of SIGWINCH. */
  readonly resize?: (() => void) | undefined
  /** The third SIGINT or SIGTERM: the user wants out. */
  readonly force: () => void
}

/** Passes signals on until it is disposed. */
export function forwardSignals(process: NodeJS.Process, target: SignalTarget): Disposable {
  let askedToEnd = 0
  const listeners = forwarded.map((name) => {
    const listener = () => {
      if (name === 'SIGWINCH' && target.resize !== undefined) return target.resize()
      target.send(constants.signals[name])
      if (name !== 'SIGINT' && name !== 'SIGTERM') return
      askedToEnd++
      if (askedToEnd === signalsThatForce) target.force()
    }
    process.on(name, listener)
    return { name, listener }
  })
  return {
    [Symbol.dispose]: () => {
      for (const { name, listener } of listeners) process.off(name, listener)
    },
  }
}
