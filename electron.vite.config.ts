// Builds the app: main as ESM, the sandboxed preload as CommonJS (Electron loads no other kind there), the renderer
// as a page. Only koffi stays outside the bundles.
import { resolve } from 'node:path'
import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'electron-vite'

export default defineConfig({
  main: {
    build: {
      outDir: 'out/main',
      rolldownOptions: { input: { index: resolve('app/main/index.ts') } },
    },
  },
  preload: {
    build: {
      outDir: 'out/preload',
      externalizeDeps: false,
      rolldownOptions: {
        input: { index: resolve('app/preload/index.ts') },
        output: { format: 'cjs', entryFileNames: '[name].cjs' },
      },
    },
  },
  renderer: {
    root: resolve('app/renderer'),
    build: {
      outDir: resolve('out/renderer'),
      emptyOutDir: true,
      // Inlined assets would need `data:` in the content security policy.
      assetsInlineLimit: 0,
      rolldownOptions: { input: { index: resolve('app/renderer/index.html') } },
    },
    plugins: [vue()],
  },
})
