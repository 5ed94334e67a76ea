/* The machine's network: without one of its own, the loopback interface only. */
#pragma once
#include <stdbool.h>

/* Brings `lo` up (the kernel gives it 127.0.0.1 and ::1). False and errno otherwise. */
bool network_bring_up_loopback(void);
