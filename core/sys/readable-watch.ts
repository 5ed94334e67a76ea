// Tells Node's event loop about descriptors that Node itself cannot watch (character devices such as
// /dev/xen/xenbus): libuv's poll handle through koffi. Unlike fs.read it occupies no thread of the pool, and
// does not keep a process from exiting.
import koffi from 'koffi'

/** Calls `onReadable` whenever `fd` has something to read, until disposed. Dispose it before closing `fd`. */
export function watchReadable(fd: number, onReadable: () => void): Disposable {
  const handle = koffi.node.poll(fd, { readable: true }, () => onReadable())
  return { [Symbol.dispose]: () => handle.close() }
}
