/* The program's root file system: the image, read-only, under an overlay whose upper layer is memory. */
#pragma once
#include <stdbool.h>

#include "bundle.h"
#include "failure.h"

/* Waits for the block device (at most 30 s; `stop_file`, a signalfd, ends the wait early) and mounts image and
   overlay. The step of a failure is `wait-root` or `mount-root`. */
bool root_mount(const struct bundle *bundle, int stop_file, struct failure *failure);

/* In the program's mount namespace: makes the mounted root the root directory. The step is `change-root`. */
bool root_enter(struct failure *failure);

/* In the program's mount namespace, when all that guest-init writes is written: the root becomes read-only. */
bool root_make_read_only(struct failure *failure);

/* Unmounts what can be unmounted, at the machine's end. */
void root_unmount(void);
