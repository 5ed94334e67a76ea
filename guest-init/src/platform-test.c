/* The test bench's platform: no Xen, the rest of guest-init as it is. tests/guest-init/machine.ts is the host.
   It passes: file 3, a socket on which one byte is one event; file 4, the channel's memory; file 5, a pipe that
   takes the announcement and "power-off". BULKHEAD_TEST_DEVICE=MAJOR:MINOR makes the block device /dev/xvda;
   BULKHEAD_TEST_DEVICE_DELAY_MS lets it appear late; BULKHEAD_TEST_NO_CHANNEL=1 is a kernel without gntalloc. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "platform.h"

#define EVENT_FILE 3
#define MEMORY_FILE 4
#define REPORT_FILE 5

static void report(const char *line) {
  ssize_t written = write(REPORT_FILE, line, strlen(line));
  (void)written;
}

void platform_begin(void) {
  for (int file = EVENT_FILE; file <= REPORT_FILE; file++) fcntl(file, F_SETFD, FD_CLOEXEC);
}

int platform_open_log(void) { return dup(STDERR_FILENO); }

int platform_open_console(void) { return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10); }

static void make_block_device(const char *target) {
  const char *device = getenv("BULKHEAD_TEST_DEVICE"), *delay = getenv("BULKHEAD_TEST_DEVICE_DELAY_MS");
  unsigned major_number, minor_number;
  char path[64];
  if (device == NULL || sscanf(device, "%u:%u", &major_number, &minor_number) != 2) return;
  snprintf(path, sizeof path, "%s/xvda", target);
  if (delay != NULL) {
    if (fork() != 0) return;
    usleep((useconds_t)atoi(delay) * 1000);
  }
  mknod(path, S_IFBLK | 0600, makedev(major_number, minor_number));
  if (delay != NULL) _exit(0);
}

bool platform_mount_devices(const char *target) {
  static const struct {
    const char *name;
    unsigned major_number, minor_number;
  } devices[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7},    {"random", 1, 8},
                 {"urandom", 1, 9}, {"tty", 5, 0}, {"console", 5, 1}, {"ptmx", 5, 2}};
  if (mount("tmpfs", target, "tmpfs", MS_NOSUID, "mode=0755") < 0) return false;
  mode_t old_mask = umask(0);
  for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
    char path[64];
    snprintf(path, sizeof path, "%s/%s", target, devices[i].name);
    mknod(path, S_IFCHR | 0666, makedev(devices[i].major_number, devices[i].minor_number));
  }
  umask(old_mask);
  make_block_device(target);
  return true;
}

bool platform_has_channel(void) { return getenv("BULKHEAD_TEST_NO_CHANNEL") == NULL; }

bool platform_open_channel(struct platform_channel *channel, struct failure *failure) {
  if (!platform_has_channel())
    return fail(failure, "open-channel", ENOENT, "no control channel without /dev/xen/gntalloc");
  void *memory = mmap(NULL, SHARED_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, MEMORY_FILE, 0);
  if (memory == MAP_FAILED) return fail(failure, "open-channel", errno, "cannot map the shared file");
  channel->memory = memory;
  channel->event_file = EVENT_FILE;
  channel->port = 9;
  for (uint32_t page = 0; page < SHARED_PAGES; page++) channel->references[page] = 100 + page;
  return true;
}

bool platform_announce(const struct platform_channel *channel, struct failure *failure) {
  char line[64];
  (void)failure;
  snprintf(line, sizeof line, "1 %u %u\n", channel->references[0], channel->port);
  report(line);
  return true;
}

void platform_notify(const struct platform_channel *channel) {
  send(channel->event_file, "e", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void platform_take_events(const struct platform_channel *channel) {
  char events[64];
  while (recv(channel->event_file, events, sizeof events, MSG_DONTWAIT) > 0) continue;
}

void platform_settle(void) {}

void platform_power_off(void) {
  report("power-off\n");
  _exit(0);
}
