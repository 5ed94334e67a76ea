// Runs in the preload's isolated world before the page's own scripts: gives the preload its `require('electron')`
// (contextBridge and ipcRenderer) on top of one binding toward the stand-in's main process, and answers the
// main-world half of the bridge. Wrapped by page-scripts.ts, which provides createCloneCodec, SECRET and PRELOAD.
/* global createCloneCodec, SECRET, PRELOAD */
;(() => {
  if (window !== window.top) return
  const codec = createCloneCodec({
    encode: (bytes) => bytes.toBase64(),
    decode: (text) => Uint8Array.fromBase64(text),
  })
  const send = (message) => globalThis.__bulkheadStandin(codec.encode(message))

  // ipcRenderer
  const pending = new Map()
  const listeners = new Map()
  const ports = new Map()
  let lastCall = 0
  const ipcRenderer = {
    invoke: (channel, ...args) =>
      new Promise((resolve, reject) => {
        const call = ++lastCall
        pending.set(call, { resolve, reject })
        send({ type: 'invoke', call, channel, args })
      }),
    send: (channel, ...args) => send({ type: 'send', channel, args }),
    on(channel, listener) {
      listeners.set(channel, [...(listeners.get(channel) ?? []), listener])
      return ipcRenderer
    },
    off(channel, listener) {
      listeners.set(
        channel,
        (listeners.get(channel) ?? []).filter((known) => known !== listener),
      )
      return ipcRenderer
    },
  }
  ipcRenderer.addListener = ipcRenderer.on
  ipcRenderer.removeListener = ipcRenderer.off

  function openPort(id) {
    const { port1, port2 } = new MessageChannel()
    ports.set(id, port1)
    port1.onmessage = (event) => send({ type: 'port', id, message: event.data })
    port1.onclose = () => {
      if (ports.delete(id)) send({ type: 'port-closed', id })
    }
    return port2
  }

  const receivers = {
    reply({ call, ok, value, error }) {
      const waiting = pending.get(call)
      pending.delete(call)
      if (ok) waiting?.resolve(value)
      else waiting?.reject(new Error(error))
    },
    message({ channel, args, ports: ids }) {
      const event = { sender: ipcRenderer, ports: ids.map(openPort) }
      for (const listener of listeners.get(channel) ?? []) listener(event, ...args)
    },
    port: ({ id, message }) => ports.get(id)?.postMessage(message),
    'port-closed'({ id }) {
      ports.get(id)?.close()
      ports.delete(id)
    },
  }
  globalThis.__bulkheadReceive = (batch) => {
    for (const text of batch) {
      const message = codec.decode(text)
      receivers[message.type](message)
    }
  }

  // contextBridge: values are cloned between the worlds by CustomEvent, functions become proxies.
  const exposed = new Map()
  const functions = []
  const toMain = (detail) => document.dispatchEvent(new CustomEvent(`${SECRET}main`, { detail }))
  function describe(value) {
    if (typeof value === 'function') return { kind: 'function', id: functions.push(value) - 1 }
    if (Array.isArray(value)) return { kind: 'array', items: value.map(describe) }
    if (value !== null && typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype)
      return { kind: 'object', entries: Object.entries(value).map(([key, item]) => [key, describe(item)]) }
    return { kind: 'value', value }
  }
  function revive(argument) {
    if (argument.kind !== 'callback') return argument.value
    return (...args) => toMain({ type: 'callback', id: argument.id, args: args.map(describe) })
  }
  const failed = (error) => ({ failed: true, message: String(error?.message ?? error) })

  document.addEventListener(`${SECRET}isolated`, ({ detail }) => {
    if (detail.type === 'describe') {
      for (const [key, description] of exposed) toMain({ type: 'expose', key, description })
      return
    }
    const settle = (outcome) => toMain({ type: 'settle', call: detail.call, ...outcome })
    try {
      const result = functions[detail.id]?.(...detail.args.map(revive))
      if (!(result instanceof Promise))
        return toMain({ type: 'return', call: detail.call, value: describe(result) })
      toMain({ type: 'return', call: detail.call, promised: true })
      result.then(
        (value) => settle({ value: describe(value) }),
        (error) => settle(failed(error)),
      )
    } catch (error) {
      toMain({ type: 'return', call: detail.call, ...failed(error) })
    }
  })

  const contextBridge = {
    exposeInMainWorld(key, api) {
      if (exposed.has(key)) throw new Error(`Cannot bind an API on top of an existing property: ${key}`)
      exposed.set(key, describe(api))
    },
  }

  // A sandboxed preload may require electron's renderer half and little else.
  function preloadRequire(name) {
    if (name === 'electron') return { contextBridge, ipcRenderer }
    throw new Error(`module not found: ${name}`)
  }
  const module = { exports: {} }
  PRELOAD(preloadRequire, module, module.exports)
})()
