/* finit_module(2); the files are decompressed already or by the kernel. */
#include "modules.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

#define MODULE_COMPRESSED_FILE 4 /* MODULE_INIT_COMPRESSED_FILE, include/uapi/linux/module.h */

static bool has_ending(const char *name, const char *ending) {
  size_t length = strlen(name), ending_length = strlen(ending);
  return length >= ending_length && strcmp(name + length - ending_length, ending) == 0;
}

static void load(const char *folder, const char *name) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  int flags = has_ending(name, ".ko") ? 0 : MODULE_COMPRESSED_FILE;
  bool loaded = file >= 0 && (syscall(SYS_finit_module, file, "", flags) == 0 || errno == EEXIST);
  if (!loaded) log_error("load-modules: cannot load %s: %s (errno %d)", name, strerror(errno), errno);
  if (file >= 0) close(file);
}

static int is_module(const struct dirent *entry) { return entry->d_name[0] != '.'; }

void modules_load(const char *path, void (*loaded)(void)) {
  struct dirent **entries;
  int count = scandir(path, &entries, is_module, alphasort);
  if (count < 0) {
    if (errno != ENOENT) log_error("load-modules: %s: %s (errno %d)", path, strerror(errno), errno);
    return;
  }
  for (int i = 0; i < count; i++) {
    load(path, entries[i]->d_name);
    loaded();
    free(entries[i]);
  }
  free(entries);
}
