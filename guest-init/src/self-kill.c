/* Only kill, tkill and tgkill of process 1 with SIGKILL leave the fast path; all else the filter allows at once, and
   the kernel remembers that for calls which need no look at their arguments. */
#include "self-kill.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

/* include/uapi/linux/{audit,bpf_common,filter,seccomp}.h */
#define AUDIT_ARCH_X86_64 0xc000003eu
#define BPF_LOAD_WORD 0x20u     /* BPF_LD | BPF_W | BPF_ABS */
#define BPF_JUMP_IF_EQUAL 0x15u /* BPF_JMP | BPF_JEQ | BPF_K */
#define BPF_RETURN 0x06u        /* BPF_RET | BPF_K */
#define SECCOMP_SET_MODE_FILTER 1u
#define SECCOMP_FILTER_FLAG_NEW_LISTENER 8u
#define SECCOMP_RET_USER_NOTIF 0x7fc00000u
#define SECCOMP_RET_ALLOW 0x7fff0000u
#define SECCOMP_IOCTL_NOTIF_RECV ((int)0xc0502100u)
#define SECCOMP_IOCTL_NOTIF_SEND ((int)0xc0182101u)
#define SECCOMP_USER_NOTIF_FLAG_CONTINUE 1u

struct filter_step {
  uint16_t code;
  uint8_t if_true, if_false;
  uint32_t value;
};
struct filter {
  uint16_t length;
  const struct filter_step *steps;
};
/* Offsets in struct seccomp_data; of the arguments the low words suffice, they are 32-bit numbers for the kernel. */
enum { NUMBER = 0, ARCHITECTURE = 4, ARGUMENT_0 = 16, ARGUMENT_1 = 24, ARGUMENT_2 = 32 };

struct notification {
  uint64_t id;
  uint32_t pid, flags;
  uint8_t data[64];
};
struct answer {
  uint64_t id;
  int64_t value;
  int32_t error;
  uint32_t flags;
};

#define LOAD(offset) {BPF_LOAD_WORD, 0, 0, offset}
/* Jumps over `steps` if the loaded word is `value`, or if it is not. */
#define IF(value, steps) {BPF_JUMP_IF_EQUAL, steps, 0, value}
#define UNLESS(value, steps) {BPF_JUMP_IF_EQUAL, 0, steps, value}
#define RETURN(action) {BPF_RETURN, 0, 0, action}

int self_kill_watch(void) {
  static const struct filter_step steps[] = {
      LOAD(ARCHITECTURE), UNLESS(AUDIT_ARCH_X86_64, 11),
      LOAD(NUMBER),       IF(SYS_kill, 2),
      IF(SYS_tkill, 1),   UNLESS(SYS_tgkill, 7),
      LOAD(ARGUMENT_0),   UNLESS(1, 5),
      LOAD(NUMBER),       IF(SYS_tgkill, 4),
      LOAD(ARGUMENT_1),   UNLESS(SIGKILL, 1),
      RETURN(SECCOMP_RET_USER_NOTIF), RETURN(SECCOMP_RET_ALLOW),
      LOAD(ARGUMENT_2),   UNLESS(SIGKILL, 1),
      RETURN(SECCOMP_RET_USER_NOTIF), RETURN(SECCOMP_RET_ALLOW),
  };
  struct filter filter = {.length = sizeof steps / sizeof *steps, .steps = steps};
  int file = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
  if (file < 0) log_warning("cannot watch for the program's kill of itself: %s", strerror(errno));
  return file;
}

struct ids {
  unsigned real, effective, saved;
};

static bool read_ids(pid_t pid, struct ids *ids) {
  char path[64], line[256];
  bool found = false;
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  FILE *file = fopen(path, "re");
  if (file == NULL) return false;
  while (!found && fgets(line, sizeof line, file) != NULL)
    found = sscanf(line, "Uid: %u %u %u", &ids->real, &ids->effective, &ids->saved) == 3;
  fclose(file);
  return found;
}

/* As kill(2) has it: root, or one whose real or effective user is the other's real or saved one. */
static bool may_kill(pid_t caller, pid_t program) {
  struct ids from, to;
  if (!read_ids(caller, &from) || !read_ids(program, &to)) return false;
  return from.effective == 0 || from.real == to.real || from.real == to.saved || from.effective == to.real ||
         from.effective == to.saved;
}

/* Process 1 of a namespace further in (a container in the guest) is not the program. */
static bool is_in_namespace_of(pid_t caller, pid_t program) {
  struct stat of_caller, of_program;
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/pid", caller);
  if (stat(path, &of_caller) < 0) return false;
  snprintf(path, sizeof path, "/proc/%d/ns/pid", program);
  return stat(path, &of_program) == 0 && of_caller.st_ino == of_program.st_ino;
}

void self_kill_take(int watch_file, pid_t program) {
  /* Both may grow with the kernel (SECCOMP_GET_NOTIF_SIZES): room for what may come. */
  union {
    struct notification call;
    char room[256];
  } in;
  union {
    struct answer answer;
    char room[256];
  } out;
  memset(&in, 0, sizeof in);
  memset(&out, 0, sizeof out);
  if (ioctl(watch_file, SECCOMP_IOCTL_NOTIF_RECV, &in.call) < 0) return;
  pid_t caller = (pid_t)in.call.pid;
  out.answer.id = in.call.id;
  /* What is not ours to do the kernel does, with its own answer. */
  if (program > 0 && is_in_namespace_of(caller, program) && may_kill(caller, program)) kill(program, SIGKILL);
  else out.answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  ioctl(watch_file, SECCOMP_IOCTL_NOTIF_SEND, &out.answer); /* ENOENT: the caller is gone, as it wanted */
}
