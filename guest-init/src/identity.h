/* Who this machine is, as files inside the program's root: /etc/hostname, /etc/hosts, /etc/resolv.conf. */
#pragma once
#include <stdbool.h>

#include "bundle.h"
#include "failure.h"

/* To be called with the program's root as the root directory, so that no link leads out of it; a link at one of
   the three places is replaced by a file. The step of a failure is `write-identity`. */
bool identity_write_files(const struct bundle *bundle, struct failure *failure);
