// Runs in the page's own world before its scripts: builds what the preload exposed (frozen, read-only, functions
// as proxies into the isolated world). Keeps the built-ins it needs, so that a page that tampers with them later
// cannot look into the bridge. Wrapped by page-scripts.ts, which provides SECRET.
/* global SECRET */
;(() => {
  if (window !== window.top) return
  const { freeze, defineProperty, fromEntries } = Object
  const MakeEvent = CustomEvent
  const dispatch = EventTarget.prototype.dispatchEvent.bind(document)
  const toIsolated = (detail) => dispatch(new MakeEvent(`${SECRET}isolated`, { detail }))

  const calls = new Map()
  const callbacks = new Map()
  const callbackIds = new WeakMap()
  let lastCall = 0
  let lastCallback = 0

  function callbackFor(listener) {
    let id = callbackIds.get(listener)
    if (id === undefined) {
      id = ++lastCallback
      callbackIds.set(listener, id)
      callbacks.set(id, listener)
    }
    return { kind: 'callback', id }
  }

  const proxy =
    (id) =>
    (...args) => {
      const call = ++lastCall
      const slot = {}
      calls.set(call, slot)
      toIsolated({
        type: 'call',
        id,
        call,
        args: args.map((value) =>
          typeof value === 'function' ? callbackFor(value) : { kind: 'value', value },
        ),
      })
      if (slot.outcome.promised)
        return new Promise((resolve, reject) => {
          slot.resolve = resolve
          slot.reject = reject
        })
      calls.delete(call)
      if (slot.outcome.failed) throw new Error(slot.outcome.message)
      return build(slot.outcome.value)
    }

  function build(description) {
    switch (description.kind) {
      case 'function':
        return freeze(proxy(description.id))
      case 'array':
        return freeze(description.items.map(build))
      case 'object':
        return freeze(fromEntries(description.entries.map(([key, item]) => [key, build(item)])))
      default:
        return description.value
    }
  }

  document.addEventListener(`${SECRET}main`, ({ detail }) => {
    if (detail.type === 'expose') {
      defineProperty(window, detail.key, { value: build(detail.description), enumerable: true })
    } else if (detail.type === 'return') {
      calls.get(detail.call).outcome = detail
    } else if (detail.type === 'settle') {
      const slot = calls.get(detail.call)
      calls.delete(detail.call)
      if (detail.failed) slot.reject(new Error(detail.message))
      else slot.resolve(build(detail.value))
    } else {
      callbacks.get(detail.id)?.(...detail.args.map(build))
    }
  })
  toIsolated({ type: 'describe' })
})()
