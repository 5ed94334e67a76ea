// Loaded with `node --import`: from here on `import 'electron'` means the stand-in beside this file. Everything
// else, the built app included, is loaded as it is.
import { registerHooks } from 'node:module'

const standin = new URL('./electron.ts', import.meta.url).href

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === 'electron' ? { url: standin, shortCircuit: true } : next(specifier, context),
})
