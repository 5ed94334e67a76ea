/* The child that becomes the program: everything that happens inside the program's own namespaces. */
#pragma once
#include "bundle.h"
#include "failure.h"
#include "process.h"

/* What the child tells guest-init, one message each; a terminal's master travels beside PREPARED,
   the file of WATCHED beside that. */
struct program_message {
  enum process_report_kind kind;
  struct failure failure;
};

/* Sets up root, mounts, identity, user, terminal or pipes, and executes the program. The files are the program's
   standard ones; -1: /dev/null. Never returns; reports on `report_file` until execve(2) closes it. */
_Noreturn void program_become(const struct bundle *bundle, int input, int output, int error, int report_file);
