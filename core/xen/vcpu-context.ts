// struct vcpu_guest_context of x86-64: a PV vCPU's registers as DOMCTL_setvcpucontext takes them.
// Source: xen/include/public/arch-x86/xen.h and xen-x86_64.h (the same from 4.14 to 4.22).
import { size, structLayout, u16, u64 } from '../sys/struct-layout.ts'

/** Selectors are 16 bits in slots of 8; the padding stays zero. */
export const vcpuGuestContext = structLayout('struct vcpu_guest_context', 5168, {
  flags: size(512),
  rax: u64(600),
  rsi: u64(624),
  rip: u64(648),
  cs: u16(656),
  rflags: u64(664),
  rsp: u64(672),
  ss: u16(680),
  es: u16(688),
  ds: u16(696),
  fs: u16(704),
  gs: u16(712),
  kernelSs: u64(4968),
  kernelSp: u64(4976),
  cr3: u64(5008),
  debugRegister6: u64(5096),
  debugRegister7: u64(5104),
})

/** VGCF_* flags. */
export const VCPU_FLAG = { inKernel: 0x4, online: 0x20 } as const

/** Flat selectors that Xen's own GDT provides (FLAT_KERNEL_CS, FLAT_KERNEL_DS). */
export const FLAT_KERNEL_CODE_SELECTOR = 0xe033
export const FLAT_KERNEL_DATA_SELECTOR = 0xe02b
