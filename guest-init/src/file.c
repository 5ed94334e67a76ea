/* Plain system calls; partial reads are continued. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The kernel's own files say that they are empty: only reading to the end tells the length. */
static char *read_to_end(int file, size_t capacity, size_t limit, size_t *length) {
  char *text = malloc(capacity + 1);
  *length = 0;
  while (text != NULL) {
    ssize_t count = read(file, text + *length, capacity - *length);
    if (count == 0) {
      text[*length] = '\0';
      return text;
    }
    *length += count > 0 ? (size_t)count : 0;
    if (*length > limit) errno = EFBIG;
    if (count < 0 || *length > limit) break;
    if (*length < capacity) continue;
    capacity *= 2;
    char *larger = realloc(text, capacity + 1);
    if (larger == NULL) break;
    text = larger;
  }
  free(text);
  return NULL;
}

static char *read_open_file(int file, size_t limit, size_t *length) {
  struct stat status;
  if (fstat(file, &status) < 0) return NULL;
  if (!S_ISREG(status.st_mode)) return errno = EINVAL, NULL;
  if (status.st_size < 0 || (size_t)status.st_size > limit) return errno = EFBIG, NULL;
  return read_to_end(file, (size_t)status.st_size + 4096, limit, length);
}

char *file_read(const char *path, size_t limit, size_t *length) {
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return NULL;
  char *text = read_open_file(file, limit, length);
  int saved_error = errno;
  close(file);
  errno = saved_error;
  return text;
}

bool file_write(const char *path, const char *text) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  size_t length = strlen(text);
  bool written = write(file, text, length) == (ssize_t)length;
  int saved_error = errno;
  close(file);
  errno = saved_error;
  return written;
}

bool file_make_directories(const char *path) {
  char *copy = strdup(path);
  if (copy == NULL) return false;
  bool made = true;
  for (char *slash = copy + 1; made && *slash != '\0'; slash++) {
    if (*slash != '/') continue;
    *slash = '\0';
    made = mkdir(copy, 0755) == 0 || errno == EEXIST;
    *slash = '/';
  }
  made = made && (mkdir(path, 0755) == 0 || errno == EEXIST);
  struct stat status;
  if (made && (stat(path, &status) < 0 || !S_ISDIR(status.st_mode))) {
    errno = ENOTDIR;
    made = false;
  }
  int saved_error = errno;
  free(copy);
  errno = saved_error;
  return made;
}
