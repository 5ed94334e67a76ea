// One end of a socket pair for us, the other for the engine.
import { FileDescriptor } from '../../sys/file-descriptor.ts'
import { makeSocketPair } from '../../sys/socket-pair.ts'

/** Gives one end of a socket pair to the engine: the number of the other. */
export async function joinedSocket(give: (fd: number) => Promise<void>): Promise<number> {
  const [ours, theirs] = makeSocketPair()
  const mine = new FileDescriptor(ours)
  try {
    using _theirs = new FileDescriptor(theirs)
    await give(theirs)
    return ours
  } catch (error) {
    mine[Symbol.dispose]()
    throw error
  }
}
