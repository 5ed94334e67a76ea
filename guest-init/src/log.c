/* One write(2) per line, as /dev/kmsg wants it: "<level>guest-init: words". */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "platform.h"

/* Levels of the kernel's log (include/linux/kern_levels.h). */
#define LEVEL_ERROR 3
#define LEVEL_WARNING 4
#define LEVEL_INFO 6

static int log_file = STDERR_FILENO;

void log_open(void) {
  int file = platform_open_log();
  if (file >= 0) log_file = file;
}

static void log_line(int level, const char *format, va_list arguments) {
  int saved_error = errno;
  char line[FAILURE_TEXT_BYTES + 128];
  int length = snprintf(line, sizeof line, "<%d>guest-init: ", level);
  int words = vsnprintf(line + length, sizeof line - (size_t)length - 1, format, arguments);
  length += words < 0 ? 0 : words;
  if ((size_t)length > sizeof line - 2) length = (int)sizeof line - 2;
  line[length++] = '\n';
  ssize_t written = write(log_file, line, (size_t)length);
  (void)written; /* there is nowhere left to complain */
  errno = saved_error;
}

#define DEFINE_LOG(name, level)              \
  void name(const char *format, ...) {       \
    va_list arguments;                       \
    va_start(arguments, format);             \
    log_line(level, format, arguments);      \
    va_end(arguments);                       \
  }

DEFINE_LOG(log_info, LEVEL_INFO)
DEFINE_LOG(log_warning, LEVEL_WARNING)
DEFINE_LOG(log_error, LEVEL_ERROR)

void log_failure(const struct failure *failure) {
  log_error("%s: %s (errno %d)", failure->step, failure->text, failure->error);
}
