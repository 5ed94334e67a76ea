// Everything that a guest writes during one life: its program's output and its console, each in a ring for
// readers and in a log on disk. DESIGN 4.6.
import { ByteRing, type RingBudget } from './broker/byte-ring.ts'
import { GuestLog, type LogTag } from './broker/guest-log.ts'
import { OutputStream } from './broker/output-stream.ts'

export interface GuestStreamsOptions {
  readonly budget: RingBudget
  readonly terminal: boolean
  readonly stdioLogPath: string
  readonly bootLogPath: string
  readonly now: () => number
  /** The program may write on: `stream` is 1 for stdout, 2 for stderr. */
  readonly onLimit: (stream: number, limit: number) => void
  readonly onLogError: (error: unknown) => void
}

/** What may wait for the disk before the program has to. */
const logBacklogBytes = 4 * 1024 * 1024

export class GuestStreams {
  readonly stdout: OutputStream
  readonly stderr: OutputStream | undefined
  readonly console: OutputStream
  readonly stdioLog: GuestLog
  readonly bootLog: GuestLog

  constructor(options: GuestStreamsOptions) {
    this.stdioLog = new GuestLog({
      path: options.stdioLogPath,
      onDrained: () => {
        this.stdout.reconsiderLimit()
        this.stderr?.reconsiderLimit()
      },
      onError: options.onLogError,
    })
    this.bootLog = new GuestLog({ path: options.bootLogPath, onError: options.onLogError })
    const isHeldBack = () => this.stdioLog.waitingBytes > logBacklogBytes
    const open = (stream: number, log: GuestLog, tag: LogTag, onLimit?: (limit: number) => void) =>
      new LoggedStream(
        {
          stream,
          ring: new ByteRing(options.budget),
          ...(onLimit === undefined ? {} : { onLimit, isHeldBack }),
        },
        (bytes, timeMs, offset) => log.append({ timeMs, tag, offset, bytes }),
      )
    this.stdout = open(1, this.stdioLog, 'o', (limit) => options.onLimit(1, limit))
    this.stderr = options.terminal
      ? undefined
      : open(2, this.stdioLog, 'e', (limit) => options.onLimit(2, limit))
    // The console has no credit: a guest stands still when nobody takes its words (channel.md of the research).
    this.console = open(1, this.bootLog, 'o')
  }

  get all(): readonly OutputStream[] {
    return this.stderr === undefined ? [this.stdout, this.console] : [this.stdout, this.stderr, this.console]
  }

  /** The guest is gone: readers come to the end, the logs are written out. */
  async end(): Promise<void> {
    for (const stream of this.all) {
      stream.end()
      stream.forget()
    }
    await Promise.all([this.stdioLog.close(), this.bootLog.close()])
  }
}

class LoggedStream extends OutputStream {
  readonly #log: (bytes: Uint8Array, timeMs: number, offset: number) => void

  constructor(
    options: ConstructorParameters<typeof OutputStream>[0],
    log: (bytes: Uint8Array, timeMs: number, offset: number) => void,
  ) {
    super(options)
    this.#log = log
  }

  override append(bytes: Uint8Array, timeMs: number): void {
    if (!this.ended && bytes.length > 0) this.#log(bytes, timeMs, this.ring.end)
    super.append(bytes, timeMs)
  }
}
