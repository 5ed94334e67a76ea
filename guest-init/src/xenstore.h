/* The little of xenstore a guest needs: one write, through the kernel's /dev/xen/xenbus. */
#pragma once
#include <stdbool.h>

#include "failure.h"

/* Writes a node; a relative path lies below the domain's own folder. Waits at most ten seconds for the answer.
   The step of a failure is `announce-channel`. */
bool xenstore_write(const char *path, const char *value, struct failure *failure);
