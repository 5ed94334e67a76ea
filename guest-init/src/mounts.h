/* The kernel's file systems: for the machine itself, and for the program inside its own root. */
#pragma once
#include <stdbool.h>

#include "failure.h"

#define PROGRAM_CGROUP "guest"

/* /proc, /sys, /dev and cgroup2 of the machine's own root. The step of a failure is `mount-machine`. */
bool mounts_prepare_machine(struct failure *failure);

/* In the program's PID and mount namespaces, before the change of root: joins the program's cgroup and makes it
   the root of a cgroup namespace. Without cgroup2 the program stays where it is. */
void mounts_enter_cgroup(void);

/* After the change of root: /proc, /sys, /dev and what lies below them, as container programs expect it.
   `for_init_system`: also /run and /run/lock as empty file systems in memory, which systemd wants.
   The step of a failure is `mount-program`. */
bool mounts_prepare_program(bool for_init_system, struct failure *failure);
