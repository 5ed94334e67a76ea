/* One table for each of the two roots; mount points are made where the image has none. */
#include "mounts.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "log.h"
#include "platform.h"

#define CGROUPS "/sys/fs/cgroup"

struct mount_point {
  const char *target, *type; /* the type "devices" is the platform's */
  unsigned long flags;
  const char *options;
  bool is_optional; /* a kernel may lack it */
};

static const struct mount_point machine_mounts[] = {
    {"/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
    {"/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
    {"/dev", "devices", 0, NULL, false},
    {CGROUPS, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true},
};

static const struct mount_point program_mounts[] = {
    {"/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
    {"/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
    {CGROUPS, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true},
    {"/dev", "devices", 0, NULL, false},
    {"/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666", false},
    {"/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777", false},
    {"/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true},
};

static const struct mount_point init_system_mounts[] = {
    {"/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755", false},
    {"/run/lock", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=5m", false},
};

static const struct {
  const char *path, *target;
} links[] = {
    {"/dev/fd", "/proc/self/fd"},       {"/dev/stdin", "/proc/self/fd/0"}, {"/dev/stdout", "/proc/self/fd/1"},
    {"/dev/stderr", "/proc/self/fd/2"}, {"/dev/core", "/proc/kcore"},
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static bool mount_one(const struct mount_point *point) {
  /* Below /sys/fs/cgroup nothing can be made, and it is there where the kernel has cgroups. */
  if (mkdir(point->target, 0755) < 0 && errno != EEXIST && !point->is_optional) return false;
  if (strcmp(point->type, "devices") == 0) return platform_mount_devices(point->target);
  return mount(point->type, point->target, point->type, point->flags, point->options) == 0;
}

static bool mount_all(const struct mount_point *points, size_t count, const char *step, struct failure *failure) {
  for (size_t i = 0; i < count; i++) {
    if (mount_one(&points[i])) continue;
    if (!points[i].is_optional)
      return fail(failure, step, errno, "cannot mount %s on %s", points[i].type, points[i].target);
    log_info("%s: no %s on %s: %s", step, points[i].type, points[i].target, strerror(errno));
  }
  return true;
}

/* Hands every controller down to the children of the machine's root group. */
static void delegate_controllers(void) {
  size_t length;
  char *controllers = file_read(CGROUPS "/cgroup.controllers", 4096, &length);
  char *rest = NULL;
  for (char *name = controllers == NULL ? NULL : strtok_r(controllers, " \n", &rest); name != NULL;
       name = strtok_r(NULL, " \n", &rest)) {
    char request[64];
    snprintf(request, sizeof request, "+%s", name);
    if (!file_write(CGROUPS "/cgroup.subtree_control", request))
      log_info("cgroup controller %s stays with the machine: %s", name, strerror(errno));
  }
}

bool mounts_prepare_machine(struct failure *failure) {
  if (!mount_all(machine_mounts, COUNT(machine_mounts), "mount-machine", failure)) return false;
  if (mkdir(CGROUPS "/" PROGRAM_CGROUP, 0755) == 0) delegate_controllers();
  return true;
}

void mounts_enter_cgroup(void) {
  if (!file_write(CGROUPS "/" PROGRAM_CGROUP "/cgroup.procs", "0\n")) return;
  if (unshare(CLONE_NEWCGROUP) < 0) log_info("no cgroup namespace: %s", strerror(errno));
}

bool mounts_prepare_program(bool for_init_system, struct failure *failure) {
  const char *step = "mount-program";
  if (!mount_all(program_mounts, COUNT(program_mounts), step, failure)) return false;
  for (size_t i = 0; i < COUNT(links); i++)
    if (symlink(links[i].target, links[i].path) < 0 && errno != EEXIST)
      return fail(failure, step, errno, "cannot make the link %s", links[i].path);
  return !for_init_system || mount_all(init_system_mounts, COUNT(init_system_mounts), step, failure);
}
