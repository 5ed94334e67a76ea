// `npm test`: all that a clean checkout can check, nothing installed by hand. The suites are in build/test.ts.
import { setUpAndRun } from './setup.mjs'

/** Real registries, image tools, compressors, network programs, a real browser: what the tests hold us against. */
const testPackages = [
  ...['skopeo', 'umoci', 'buildah', 'docker-registry', 'openssl'],
  ...[
    'squashfs-tools',
    'squashfs-tools-ng',
    'erofs-utils',
    'busybox-static',
    'attr',
    'libarchive-tools',
    'python3',
  ],
  ...['zstd', 'lz4', 'qemu-utils', 'util-linux'],
  ...['iproute2', 'iperf3', 'iputils-ping', 'bind9-dnsutils', 'dnsmasq-base', 'curl', 'socat', 'tshark'],
  ...['chromium', 'chromium-sandbox', 'fonts-inter', 'fonts-jetbrains-mono'],
]

const before = Date.now()
await setUpAndRun('build/test.ts', {
  packages: testPackages,
  argsAfter: () => [`--setup-ms=${Date.now() - before}`],
})
