// What the lab is made of: names of Debian 12 packages, unpacked and never installed.

/** The hypervisor, alone in its package. */
export const hypervisorPackage = 'xen-hypervisor-4.17-amd64'

/** Depends on the kernel package of the current ABI, whose name carries its version. */
export const kernelMetaPackage = 'linux-image-amd64'

/** The root file system of dom0. Libraries are listed by hand: the packages' own dependencies would bring python, perl and udev. */
export const dom0Packages = [
  'busybox-static',
  // Node
  'libc6',
  'libgcc-s1',
  'libstdc++6',
  // xenstored, and xl and xenconsoled as the peers of tests and benchmarks
  'xen-utils-4.17',
  'xen-utils-common',
  'xenstore-utils',
  'libxencall1',
  'libxendevicemodel1',
  'libxenevtchn1',
  'libxenforeignmemory1',
  'libxengnttab1',
  'libxenhypfs1',
  'libxenmisc4.17',
  'libxenstore4',
  'libxentoolcore1',
  'libxentoollog1',
  'libyajl2',
  'liblzma5',
  'libbz2-1.0',
  'liblzo2-2',
  'libzstd1',
  'zlib1g',
  'libuuid1',
  'libncurses6',
  'libtinfo6',
  'libnl-3-200',
  'libnl-route-3-200',
  'libfdt1',
  // modules of dom0 and of guests: modprobe, and depmod for the build
  'kmod',
  'libkmod2',
  'libssl3',
  // busybox's shell would run its own mount and mke2fs where these are meant; the peer's hotplug scripts need bash
  'dash',
  'bash',
  'coreutils',
  'libacl1',
  'libattr1',
  'libgmp10',
  'util-linux',
  'mount',
  'libmount1',
  'libblkid1',
  'libsmartcols1',
  'libselinux1',
  'libpcre2-8-0',
  'libcap-ng0',
  'libsystemd0',
  'libudev1',
  // script(1) gives the lab's shell its terminal
  'bsdutils',
  // ioctl(2) for scripts: a restored machine has to draw random numbers of its own
  'perl-base',
  // guests' own disks
  'e2fsprogs',
  'libext2fs2',
  'libcom-err2',
  'libss2',
  // network namespaces, and looking at what goes wrong
  'iproute2',
  'libbpf1',
  'libbsd0',
  'libmd0',
  'libelf1',
  'libmnl0',
  'libcap2',
  'libtirpc3',
  'libxtables12',
  'libgssapi-krb5-2',
  'libkrb5-3',
  'libk5crypto3',
  'libkrb5support0',
  'libkeyutils1',
  'libcrypt1',
  'strace',
  'libunwind8',
  // peers of tests of the network
  'iperf3',
  'libiperf0',
  'libsctp1',
  'ethtool',
] as const
