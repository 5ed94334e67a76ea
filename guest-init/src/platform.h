/* What differs between a Xen guest and the test bench: where the shared memory and the events come from, the
   device file system, and what stays after the last line. Everything else is the same code in both.
   platform-xen.c is the real one; platform-test.c serves tests/guest-init. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "failure.h"

#define PAGE_BYTES 4096u
#define TO_HOST_PAGES 64u
#define FROM_HOST_PAGES 16u
#define SHARED_PAGES (1u + TO_HOST_PAGES + FROM_HOST_PAGES)

/* The channel's memory (control page, then to-host pages, then from-host pages, in one mapping) and its event. */
struct platform_channel {
  uint8_t *memory;
  uint32_t references[SHARED_PAGES]; /* grant references, the control page's first */
  uint32_t port;                     /* our event channel */
  int event_file;                    /* readable when an event came */
};

/* Called first, before any file is opened. */
void platform_begin(void);

/* The log's file, -1 where there is none. */
int platform_open_log(void);

/* The machine's console, non-blocking, for the program's output where there is no channel. -1 without one. */
int platform_open_console(void);

/* Mounts the device file system on a directory that exists. False and errno otherwise. */
bool platform_mount_devices(const char *target);

/* Whether the kernel has what the channel needs, so far. */
bool platform_has_channel(void);

/* Allocates the memory and the event. The step of a failure is `open-channel`. */
bool platform_open_channel(struct platform_channel *channel, struct failure *failure);

/* Tells the host that the channel is there, after the control page was filled. */
bool platform_announce(const struct platform_channel *channel, struct failure *failure);

void platform_notify(const struct platform_channel *channel);

/* Takes pending events, so that the next one makes `event_file` readable again. */
void platform_take_events(const struct platform_channel *channel);

/* The machine is set up: the kernel's chatter must not fill the console any more. */
void platform_settle(void);

_Noreturn void platform_power_off(void);
