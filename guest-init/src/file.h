/* Whole small files, read and written at once. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Reads a regular file of at most `limit` bytes; ends it with a zero byte. NULL and errno (EFBIG when longer,
   EINVAL when not a regular file) otherwise; the caller frees it. Never waits, whatever lies at the path. */
char *file_read(const char *path, size_t limit, size_t *length);

/* Writes to a file that exists, such as one of /proc or of a cgroup. False and errno otherwise. */
bool file_write(const char *path, const char *text);

/* Makes the directory and its parents where they are missing, 0755. False and errno otherwise. */
bool file_make_directories(const char *path);
