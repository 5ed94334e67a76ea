/* The handlers are undone in the program's child like all others (program.c). */
#include "crash.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "platform.h"

#ifdef __SANITIZE_ADDRESS__
#define CATCHES false /* the sanitizer reports faults better */
#else
#define CATCHES true
#endif

static void on_crash(int number) {
  /* Careful: nothing here is sure to work any more; each step may be the last. */
  log_error("guest-init itself failed with signal %d", number);
  sync();
  platform_power_off();
}

void crash_catch(void) {
  static const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};
  for (size_t i = 0; CATCHES && i < sizeof numbers / sizeof numbers[0]; i++) {
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND};
    sigaction(numbers[i], &action, NULL);
  }
}
