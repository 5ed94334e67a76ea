// A seccomp filter for the whole process (seccomp(2)): from here on no thread starts a program or a process, looks into
// other processes, changes files, mounts, changes namespaces, loads code into the kernel, or makes a socket of a family it
// has no business with. A list of what is forbidden, since what Node and V8 need changes from release to release.
// Numbers: asm/unistd_64.h; linux/seccomp.h, linux/filter.h, linux/audit.h.
import koffi, { type KoffiFunc } from 'koffi'
import { PinnedBuffer } from './pinned-buffer.ts'
import { AF_INET, AF_INET6 } from './socket.ts'
import { SystemError } from './system-error.ts'

const library = koffi.load('libc.so.6')
const prctlFunction: KoffiFunc<
  (option: number, second: number, third: number, fourth: number, fifth: number) => number
> = library.func(
  'int prctl(int option, unsigned long second, unsigned long third, unsigned long fourth, unsigned long fifth)',
)
const syscallFunction: KoffiFunc<
  (number: number, operation: number, flags: number, program: number) => number
> = library.func('long syscall(long number, unsigned int operation, unsigned int flags, uintptr_t program)')

const PR_SET_NO_NEW_PRIVS = 38
const SYS_SECCOMP = 317
const SECCOMP_SET_MODE_FILTER = 1
/** On all threads at once; without the mitigation that slows every thread of this process down. */
const FLAGS = 1 | 4
const RETURN_ALLOW = 0x7fff_0000
const RETURN_KILL_PROCESS = 0x8000_0000
const RETURN_ERRNO = 0x0005_0000
const AUDIT_ARCH_X86_64 = 0xc000_003e
const X32_SYSCALL_BIT = 0x4000_0000

const AF_NETLINK = 16
const CLONE_THREAD = 0x1_0000
const EPERM = 1
const ENOSYS = 38

const SYS_IO_URING_SETUP = 425
const SYS_OPEN = 2
const SYS_SOCKET = 41
const SYS_CLONE = 56
/** Its flags lie in memory, where a filter cannot look: C libraries fall back to clone(2). */
const SYS_CLONE3 = 435
const SYS_OPENAT = 257
/** Likewise. */
const SYS_OPENAT2 = 437
/** O_WRONLY, O_RDWR, O_CREAT and O_TRUNC of asm-generic/fcntl.h. */
const WRITING = 0o1103

const forbidden: Readonly<Record<string, number>> = {
  fork: 57,
  vfork: 58,
  execve: 59,
  execveat: 322,
  ptrace: 101,
  process_vm_readv: 310,
  process_vm_writev: 311,
  pidfd_getfd: 438,
  kcmp: 312,
  mount: 165,
  umount2: 166,
  pivot_root: 155,
  chroot: 161,
  open_tree: 428,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  fspick: 433,
  mount_setattr: 442,
  setns: 308,
  unshare: 272,
  bpf: 321,
  perf_event_open: 298,
  userfaultfd: 323,
  io_uring_setup: SYS_IO_URING_SETUP,
  io_uring_enter: 426,
  io_uring_register: 427,
  init_module: 175,
  finit_module: 313,
  delete_module: 176,
  kexec_load: 246,
  kexec_file_load: 320,
  add_key: 248,
  request_key: 249,
  keyctl: 250,
  name_to_handle_at: 303,
  open_by_handle_at: 304,
  fanotify_init: 300,
  mknod: 133,
  mknodat: 259,
  iopl: 172,
  ioperm: 173,
  modify_ldt: 154,
  personality: 135,
  swapon: 167,
  swapoff: 168,
  reboot: 169,
  sethostname: 170,
  setdomainname: 171,
  acct: 163,
  quotactl: 179,
  syslog: 103,
  settimeofday: 164,
  clock_settime: 227,
  adjtimex: 159,
  clock_adjtime: 305,
  creat: 85,
  truncate: 76,
  rename: 82,
  renameat: 264,
  renameat2: 316,
  mkdir: 83,
  mkdirat: 258,
  rmdir: 84,
  link: 86,
  linkat: 265,
  unlink: 87,
  unlinkat: 263,
  symlink: 88,
  symlinkat: 266,
  chmod: 90,
  fchmodat: 268,
  fchmodat2: 452,
  chown: 92,
  lchown: 94,
  fchownat: 260,
  setxattr: 188,
  lsetxattr: 189,
}

/** This thread, and those it starts, gain no privileges any more (prctl(2)). Throws SystemError. */
export function forbidNewPrivileges(): void {
  if (prctlFunction(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    throw new SystemError('give up new privileges', koffi.errno())
}

/** Filters the system calls of all threads, for good; after `forbidNewPrivileges()`. Throws SystemError. */
export function confineSystemCalls(): void {
  install([...Object.values(forbidden).flatMap((number) => refused(number, EPERM)), ...restrictedCalls])
}

/**
 * Forbids io_uring to this thread and to what it turns into with execve(2): what is asked for through a ring, no filter of
 * system calls sees, and Node's loop opens one as soon as it starts. Throws SystemError.
 */
export function forbidIoUring(): void {
  install(refused(SYS_IO_URING_SETUP, ENOSYS))
}

function install(rules: readonly Instruction[]): void {
  const instructions = [...platformCheck, ...rules, allow]
  const code = new PinnedBuffer(instructions.length * INSTRUCTION_BYTES)
  instructions.forEach(([operation, ifTrue, ifFalse, value], index) => {
    const offset = index * INSTRUCTION_BYTES
    code.view.setUint16(offset, operation, true)
    code.view.setUint8(offset + 2, ifTrue)
    code.view.setUint8(offset + 3, ifFalse)
    code.view.setUint32(offset + 4, value, true)
  })
  // struct sock_fprog
  const program = new PinnedBuffer(16)
  program.view.setUint16(0, instructions.length, true)
  program.view.setBigUint64(8, BigInt(code.address), true)
  const result = syscallFunction(SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, FLAGS, program.address)
  if (result < 0) throw new SystemError('filter system calls', koffi.errno())
  if (result > 0) throw new Error(`Cannot filter system calls: thread ${result} has another filter`)
}

/** struct sock_filter: code, jump if true, jump if false, value. */
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number]
const INSTRUCTION_BYTES = 8
const LOAD_WORD = 0x20
const JUMP_IF_EQUAL = 0x15
const JUMP_IF_AT_LEAST = 0x35
const JUMP_IF_BITS = 0x45
const RETURN = 0x06
/** struct seccomp_data: the number, the architecture, then the arguments, the low half of the first at 16. */
const NUMBER = 0
const ARCHITECTURE = 4
const FIRST_ARGUMENT = 16
const SECOND_ARGUMENT = 24
const THIRD_ARGUMENT = 32

const refuse = (errno: number): Instruction => [RETURN, 0, 0, RETURN_ERRNO | errno]
const allow: Instruction = [RETURN, 0, 0, RETURN_ALLOW]

/** Leaves the call's number loaded. */
const platformCheck: readonly Instruction[] = [
  [LOAD_WORD, 0, 0, ARCHITECTURE],
  [JUMP_IF_EQUAL, 1, 0, AUDIT_ARCH_X86_64],
  [RETURN, 0, 0, RETURN_KILL_PROCESS],
  [LOAD_WORD, 0, 0, NUMBER],
  [JUMP_IF_AT_LEAST, 0, 1, X32_SYSCALL_BIT],
  refuse(ENOSYS),
]

function refused(number: number, errno: number): Instruction[] {
  return [[JUMP_IF_EQUAL, 0, 1, number], refuse(errno)]
}

/** Ends with the number loaded where it was another call. */
function refusedWithBits(number: number, argument: number, bits: number): Instruction[] {
  return [
    [JUMP_IF_EQUAL, 0, 4, number],
    [LOAD_WORD, 0, 0, argument],
    [JUMP_IF_BITS, 0, 1, bits],
    refuse(EPERM),
    allow,
  ]
}

/** Files to read, threads but no processes, and sockets of few families. */
const restrictedCalls: readonly Instruction[] = [
  ...refusedWithBits(SYS_OPEN, SECOND_ARGUMENT, WRITING),
  ...refusedWithBits(SYS_OPENAT, THIRD_ARGUMENT, WRITING),
  ...refused(SYS_OPENAT2, ENOSYS),
  ...refused(SYS_CLONE3, ENOSYS),
  [JUMP_IF_EQUAL, 0, 4, SYS_CLONE],
  [LOAD_WORD, 0, 0, FIRST_ARGUMENT],
  [JUMP_IF_BITS, 0, 1, CLONE_THREAD],
  allow,
  refuse(EPERM),
  [JUMP_IF_EQUAL, 0, 6, SYS_SOCKET],
  [LOAD_WORD, 0, 0, FIRST_ARGUMENT],
  [JUMP_IF_EQUAL, 3, 0, AF_INET],
  [JUMP_IF_EQUAL, 2, 0, AF_INET6],
  [JUMP_IF_EQUAL, 1, 0, AF_NETLINK],
  refuse(EPERM),
  allow,
]
