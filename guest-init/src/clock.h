/* Time since the machine started, suspension included. */
#pragma once
#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_ms(void) { return clock_ns() / 1000000u; }
