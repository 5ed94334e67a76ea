/* Walks one file system only, never through links. */
#include "initrd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "log.h"

#define SELF "/init"
/* include/uapi/linux/magic.h */
#define RAMFS 0x858458f6ul
#define TMPFS 0x01021994ul

static void remove_content(int folder, const struct stat *self) {
  DIR *listing = fdopendir(folder);
  struct dirent *entry;
  struct stat status;
  if (listing == NULL) {
    close(folder);
    return;
  }
  while ((entry = readdir(listing)) != NULL) {
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0 || status.st_dev != self->st_dev ||
        status.st_ino == self->st_ino)
      continue;
    if (S_ISDIR(status.st_mode)) {
      int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (inner >= 0) remove_content(inner, self);
    }
    unlinkat(folder, name, S_ISDIR(status.st_mode) ? AT_REMOVEDIR : 0); /* a mount point stays: EBUSY */
  }
  closedir(listing);
}

static void link_to_self(const char *path) {
  if (symlink(SELF, path) < 0) log_warning("the hypervisor's wish to power off will not be heard: %s", strerror(errno));
}

void initrd_clear(void) {
  struct statfs root;
  struct stat self;
  if (statfs("/", &root) < 0 || ((unsigned long)root.f_type != RAMFS && (unsigned long)root.f_type != TMPFS)) return;
  if (stat(SELF, &self) < 0) {
    log_warning("guest-init is not %s: the initrd stays in memory", SELF);
    return;
  }
  int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) remove_content(folder, &self);
  mkdir("/sbin", 0755);
  link_to_self("/sbin/poweroff");
  link_to_self("/sbin/reboot");
}
