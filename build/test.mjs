// `npm test`: all that a clean checkout can check, nothing installed by hand. The suites are in build/test.ts.
import {
  checkMachine,
  ensureNpmPackages,
  ensureSystemPackages,
  runMain,
  runUnderNode24,
  startPackages,
} from './setup.mjs'

/** Real registries, real image tools, real compressors, a real browser: what the tests hold us against. */
const testPackages = [
  ...['skopeo', 'umoci', 'docker-registry', 'buildah', 'apache2-utils', 'openssl'],
  ...[
    'squashfs-tools',
    'squashfs-tools-ng',
    'mmdebstrap',
    'busybox-static',
    'attr',
    'libarchive-tools',
    'python3',
  ],
  ...['zstd', 'lz4', 'qemu-utils', 'chromium', 'util-linux'],
]

await runMain(async () => {
  const before = Date.now()
  checkMachine()
  ensureSystemPackages([...startPackages, ...testPackages])
  ensureNpmPackages()
  return await runUnderNode24('build/test.ts', [
    `--setup-ms=${Date.now() - before}`,
    ...process.argv.slice(2),
  ])
})
