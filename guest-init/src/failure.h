/* A failure names the step of the boot it happened in, the errno, and says in words what could not be done. */
#pragma once
#include <stdbool.h>

#define FAILURE_STEP_BYTES 32
#define FAILURE_TEXT_BYTES 320

struct failure {
  int error; /* errno, 0 where there is none */
  char step[FAILURE_STEP_BYTES];
  char text[FAILURE_TEXT_BYTES]; /* "WHAT: errno in words" */
};

/* Fills in `failure` and returns false, so that a caller writes `return fail(…)`.
   The words for `error` are appended to the text where it is not 0. */
__attribute__((format(printf, 4, 5))) bool fail(struct failure *failure, const char *step, int error,
                                                const char *format, ...);
