/* The machine's network: the loopback interface, and the interface of its own that the bundle describes. */
#pragma once
#include <stdbool.h>

#include "bundle.h"
#include "failure.h"

/* Brings `lo` up (the kernel gives it 127.0.0.1 and ::1). False and errno otherwise. */
bool network_bring_up_loopback(void);

/* Waits for the interface with the bundle's MAC and gives it its addresses and routes; nothing where the bundle has
   none. A readable `stop_file` ends the wait (EINTR). The step of a failure is `set-up-network`. */
bool network_set_up(const struct bundle *bundle, int stop_file, struct failure *failure);
