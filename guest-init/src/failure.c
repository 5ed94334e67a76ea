/* Wording of failures. */
#include "failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool fail(struct failure *failure, const char *step, int error, const char *format, ...) {
  failure->error = error;
  snprintf(failure->step, sizeof failure->step, "%s", step);
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(failure->text, sizeof failure->text, format, arguments);
  va_end(arguments);
  size_t used = length < 0 ? 0 : (size_t)length;
  if (error != 0 && used < sizeof failure->text)
    snprintf(failure->text + used, sizeof failure->text - used, ": %s", strerror(error));
  return false;
}
