// Imports go one way: DESIGN, and docs/architecture.md. Checked by `npm test` (suite "static").
const anywhere = { dependencyTypesNot: ['type-only'] }

/** Files of a folder, tests and their fixtures left out: a test may use what its subject may not. */
const code = (folder) => ({ path: `^${folder}/`, pathNot: '\\.(test|fixture)\\.ts$' })

module.exports = {
  forbidden: [
    {
      name: 'no-circles',
      comment: 'Two files that import each other are one file, or hide a third.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: anywhere },
    },
    {
      name: 'only-core-sys-has-ffi',
      severity: 'error',
      from: { pathNot: '^core/sys/' },
      to: { path: 'node_modules/koffi' },
    },
    {
      name: 'core-does-not-know-the-app',
      severity: 'error',
      from: code('core'),
      to: { path: '^(app|lab|bench|tests|build)/' },
    },
    {
      name: 'core-api-stands-alone',
      comment: 'Everybody imports it, the renderer too: no Node, nothing of ours.',
      severity: 'error',
      from: code('core/api'),
      to: { pathNot: '^(core/api/|node_modules/zod/)' },
    },
    {
      name: 'core-sys-stands-alone',
      severity: 'error',
      from: code('core/sys'),
      to: { path: '^core/', pathNot: '^core/(sys/|errors\\.ts$)' },
    },
    {
      name: 'core-xen',
      severity: 'error',
      from: code('core/xen'),
      to: { path: '^core/', pathNot: '^core/(xen|sys)/|^core/errors\\.ts$' },
    },
    {
      name: 'core-net',
      severity: 'error',
      from: code('core/net'),
      to: { path: '^core/', pathNot: '^core/(net|sys)/|^core/errors\\.ts$' },
    },
    {
      name: 'core-oci',
      severity: 'error',
      from: code('core/oci'),
      to: { path: '^core/', pathNot: '^core/oci/|^core/(errors|durable-file)\\.ts$' },
    },
    {
      name: 'core-runtime',
      severity: 'error',
      from: code('core/runtime'),
      to: {
        path: '^core/',
        pathNot: '^core/(runtime|xen|oci|net|api|sys)/|^core/(errors|durable-file)\\.ts$',
      },
    },
    {
      name: 'core-client',
      severity: 'error',
      from: code('core/client'),
      to: { path: '^core/', pathNot: '^core/(client|api)/|^core/(errors|durable-file)\\.ts$' },
    },
    {
      name: 'renderer-knows-the-api-only',
      severity: 'error',
      from: code('app/renderer'),
      to: { path: '^(core|lab|app)/', pathNot: '^(core/api/|core/errors\\.ts$|app/(renderer|preload)/)' },
    },
    {
      name: 'preload-knows-the-api-only',
      severity: 'error',
      from: code('app/preload'),
      to: { path: '^(core|lab|app)/', pathNot: '^(core/api/|app/preload/)' },
    },
    {
      name: 'main-and-cli-use-the-client',
      severity: 'error',
      from: { path: '^app/(main|cli)/', pathNot: '\\.(test|fixture)\\.ts$' },
      to: { path: '^core/', pathNot: '^core/(client|api)/|^core/(errors|durable-file)\\.ts$' },
    },
    {
      name: 'lab-stands-alone',
      severity: 'error',
      from: code('lab'),
      to: { path: '^(core|app)/', pathNot: '^core/(api/|errors\\.ts$)' },
    },
    {
      name: 'electron-in-few-files',
      severity: 'error',
      from: { path: '^(app|core|lab)/', pathNot: '^app/main/(index\\.ts$|shell/)|^app/preload/index\\.ts$' },
      to: { path: 'node_modules/electron/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'schemas-stay-with-the-core-host',
      severity: 'error',
      from: { pathNot: '^core/(api|host|runtime)/|\\.(test|fixture)\\.ts$|^tests/' },
      to: { path: '^core/api/schemas/', dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(dist|out)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.vue', '.js', '.mjs', '.cjs'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
}
