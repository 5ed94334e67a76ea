/* What guest-init says for itself: lines in the kernel's log, which the console shows from `error` on. */
#pragma once
#include "failure.h"

/* Opens the platform's log. Before it, and where there is none, lines go to standard error. */
void log_open(void);

__attribute__((format(printf, 1, 2))) void log_info(const char *format, ...);
__attribute__((format(printf, 1, 2))) void log_warning(const char *format, ...);
__attribute__((format(printf, 1, 2))) void log_error(const char *format, ...);

/* Writes a failure as an error: "STEP: TEXT (errno N)". */
void log_failure(const struct failure *failure);
