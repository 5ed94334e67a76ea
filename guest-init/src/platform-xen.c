/* A Xen guest: grants and event channels through the kernel's devices, xenstore for the announcement.
   Structures and numbers: include/uapi/xen/gntalloc.h and evtchn.h of Linux, declared here so that the build
   needs no kernel headers. Facts about order: docs/contracts/channel.md. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "control-page.h"
#include "file.h"
#include "log.h"
#include "platform.h"
#include "xenstore.h"

#define STEP "open-channel"
#define HOST_DOMAIN 0
#define GNTALLOC "/dev/xen/gntalloc"
#define EVTCHN "/dev/xen/evtchn"

struct gntalloc_alloc { /* struct ioctl_gntalloc_alloc_gref */
  uint16_t domain, flags;
  uint32_t count;
  uint64_t index;
  uint32_t references[SHARED_PAGES];
};

struct gntalloc_unmap_notify { /* struct ioctl_gntalloc_unmap_notify */
  uint64_t index;
  uint32_t action, port;
};

#define GNTALLOC_ALLOC 0x184705ul
#define GNTALLOC_SET_UNMAP_NOTIFY 0x104707ul
#define GNTALLOC_WRITABLE 1
#define UNMAP_CLEAR_BYTE 1u
#define UNMAP_SEND_EVENT 2u
#define EVTCHN_BIND_UNBOUND_PORT 0x44502ul /* the argument: u32 remote domain; returns the port */
#define EVTCHN_NOTIFY 0x44504ul            /* the argument: u32 port */

#define CONSOLE_LEVEL_AFTER_BOOT 4
#define SYSLOG_ACTION_CONSOLE_LEVEL 8 /* syslog(2) */

void platform_begin(void) {
  /* Ctrl-Alt-Del of the hypervisor asks PID 1 instead of resetting the machine. */
  reboot(RB_DISABLE_CAD);
}

int platform_open_log(void) {
  /* More than ten lines in five seconds are dropped otherwise (kernel/printk/printk.c, devkmsg). */
  file_write("/proc/sys/kernel/printk_devkmsg", "on\n");
  int file = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
  return file >= 0 ? file : open("/dev/console", O_WRONLY | O_CLOEXEC | O_NOCTTY);
}

int platform_open_console(void) { return open("/dev/console", O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); }

bool platform_mount_devices(const char *target) {
  /* EBUSY: the kernel mounted it there already (CONFIG_DEVTMPFS_MOUNT with a root of its own). */
  return mount("devtmpfs", target, "devtmpfs", MS_NOSUID, "mode=0755") == 0 || errno == EBUSY;
}

static int open_device(const char *path, const char *module, int flags, struct failure *failure) {
  int file = open(path, O_RDWR | O_CLOEXEC | flags);
  if (file < 0) fail(failure, STEP, errno, "no control channel without %s (kernel module %s)", path, module);
  return file;
}

bool platform_has_channel(void) { return access(GNTALLOC, F_OK) == 0 && access(EVTCHN, F_OK) == 0; }

static bool map_grants(int gntalloc, struct gntalloc_alloc *grants, struct platform_channel *channel,
                       struct failure *failure) {
  *grants = (struct gntalloc_alloc){.domain = HOST_DOMAIN, .flags = GNTALLOC_WRITABLE, .count = SHARED_PAGES};
  if (ioctl(gntalloc, GNTALLOC_ALLOC, grants) < 0)
    return fail(failure, STEP, errno, "cannot allocate %u grants", SHARED_PAGES);
  void *memory = mmap(NULL, SHARED_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, gntalloc,
                      (off_t)grants->index);
  if (memory == MAP_FAILED) return fail(failure, STEP, errno, "cannot map the granted pages");
  channel->memory = memory;
  memcpy(channel->references, grants->references, sizeof channel->references);
  return true;
}

bool platform_open_channel(struct platform_channel *channel, struct failure *failure) {
  struct gntalloc_alloc grants;
  uint32_t remote = HOST_DOMAIN;
  int gntalloc = open_device(GNTALLOC, "xen-gntalloc", 0, failure);
  if (gntalloc < 0) return false;
  int events = open_device(EVTCHN, "xen-evtchn", O_NONBLOCK, failure);
  if (events < 0 || !map_grants(gntalloc, &grants, channel, failure)) return false;
  int port = ioctl(events, EVTCHN_BIND_UNBOUND_PORT, &remote);
  if (port < 0) return fail(failure, STEP, errno, "cannot bind an event channel for the host");
  channel->event_file = events;
  channel->port = (uint32_t)port;
  /* When this process is gone the kernel clears guest_live and rings the host. */
  struct gntalloc_unmap_notify notify = {
      .index = grants.index + offsetof(struct control_page, guest_live),
      .action = UNMAP_CLEAR_BYTE | UNMAP_SEND_EVENT,
      .port = channel->port,
  };
  if (ioctl(gntalloc, GNTALLOC_SET_UNMAP_NOTIFY, &notify) < 0)
    log_warning("the host will not be told when guest-init ends: %s", strerror(errno));
  return true;
}

bool platform_announce(const struct platform_channel *channel, struct failure *failure) {
  char value[32];
  snprintf(value, sizeof value, "1 %u %u", channel->references[0], channel->port);
  return xenstore_write("data/bulkhead", value, failure);
}

void platform_notify(const struct platform_channel *channel) {
  uint32_t port = channel->port;
  ioctl(channel->event_file, EVTCHN_NOTIFY, &port);
}

void platform_take_events(const struct platform_channel *channel) {
  uint32_t ports[16];
  ssize_t length;
  /* Reading masks the port; writing it back unmasks it (drivers/xen/evtchn.c). */
  while ((length = read(channel->event_file, ports, sizeof ports)) > 0)
    if (write(channel->event_file, ports, (size_t)length) != length) break;
}

void platform_settle(void) { klogctl(SYSLOG_ACTION_CONSOLE_LEVEL, NULL, CONSOLE_LEVEL_AFTER_BOOT); }

void platform_power_off(void) {
  reboot(RB_POWER_OFF);
  /* A kernel that cannot power off halts; ending here would be a panic. */
  reboot(RB_HALT_SYSTEM);
  for (;;) pause();
}
