/* The kernel announces devices on a netlink socket (NETLINK_KOBJECT_UEVENT), after their file was made. Four looks
   a second besides, for kernels without the socket. */
#include "device-wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

#define STEP "wait-root"
#define NETLINK_FAMILY 16         /* AF_NETLINK */
#define NETLINK_KOBJECT_UEVENT 15 /* include/uapi/linux/netlink.h */
#define LOOK_INTERVAL_MS 250

struct netlink_address { /* struct sockaddr_nl */
  uint16_t family, pad;
  uint32_t port, groups;
};

static int open_announcements(void) {
  struct netlink_address address = {.family = NETLINK_FAMILY, .groups = 1};
  int file = socket(NETLINK_FAMILY, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
  if (file >= 0 && bind(file, (const struct sockaddr *)(const void *)&address, sizeof address) < 0) {
    close(file);
    return -1;
  }
  return file;
}

/* 0, or the errno that says why the device cannot be used (yet). */
static int look(const char *path) {
  struct stat status;
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return errno;
  int error = fstat(file, &status) < 0 ? errno : S_ISBLK(status.st_mode) ? 0 : ENOTBLK;
  close(file);
  return error;
}

static bool wait_until_usable(const char *path, int timeout_ms, struct pollfd files[2], struct failure *failure) {
  uint64_t deadline_ms = clock_ms() + (uint64_t)timeout_ms;
  for (;;) {
    int error = look(path);
    if (error == 0) return true;
    if (error == ENOTBLK) return fail(failure, STEP, error, "%s", path);
    if (clock_ms() >= deadline_ms)
      return fail(failure, STEP, error == ENOENT ? ENODEV : error, "%s did not appear within %d s", path,
                  timeout_ms / 1000);
    poll(files, 2, LOOK_INTERVAL_MS);
    if (files[1].revents != 0) return fail(failure, STEP, EINTR, "asked to stop while waiting for %s", path);
    char announcement[4096];
    while (files[0].fd >= 0 && recv(files[0].fd, announcement, sizeof announcement, MSG_DONTWAIT) > 0) continue;
  }
}

bool device_wait(const char *path, int timeout_ms, int stop_file, struct failure *failure) {
  struct pollfd files[2] = {
      {.fd = open_announcements(), .events = POLLIN},
      {.fd = stop_file, .events = POLLIN},
  };
  bool usable = wait_until_usable(path, timeout_ms, files, failure);
  if (files[0].fd >= 0) close(files[0].fd);
  return usable;
}
