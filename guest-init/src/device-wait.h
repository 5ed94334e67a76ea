/* Waiting for a device file: the kernel makes it when the driver has found the device. */
#pragma once
#include <stdbool.h>

#include "failure.h"

/* True as soon as the block device can be opened. A readable `stop_file` ends the wait (EINTR). The step of a
   failure is `wait-root`. */
bool device_wait(const char *path, int timeout_ms, int stop_file, struct failure *failure);
