// Hypercall numbers (`xen/include/public/xen.h`, __HYPERVISOR_*).

export const HYPERCALL = {
  memoryOp: 12,
  xenVersion: 17,
  mmuextOp: 26,
  eventChannelOp: 32,
  sysctl: 35,
  domctl: 36,
} as const
