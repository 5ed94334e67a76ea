/* `kill -9 $$`: the kernel drops a SIGKILL that PID 1 of a namespace gets from inside it. In a machine of its own a
   program may end itself so; the call is noticed (seccomp(2), user notification) and carried out from outside. */
#pragma once
#include <sys/types.h>

/* In the child, as root, before the program: a file that tells of such calls, or -1 where the kernel has no
   notifications. Everything that the child starts later is watched too. */
int self_kill_watch(void);

/* In guest-init: takes what `watch_file` tells. A SIGKILL for PID 1 of the program's namespace ends `program`. */
void self_kill_take(int watch_file, pid_t program);
