/* The program: PID 1 of its own PID and mount namespaces, started by a child that sets everything up inside. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "bundle.h"
#include "failure.h"

struct process {
  pid_t pid;       /* in the machine's own PID namespace; 0 before the start */
  int report_file; /* what the child tells; closed (-1) when the program runs */
  int kill_file;   /* tells of the program's SIGKILL for itself (self-kill.h); -1 without */
  int input_file, output_file, error_file; /* our ends of its pipes, non-blocking; -1 with a terminal */
};

enum process_report_kind {
  PROCESS_NOTHING,    /* nothing to read now */
  PROCESS_WATCHED,    /* the program's SIGKILL for itself will be noticed; kept in `kill_file` */
  PROCESS_PREPARED,   /* everything is set up, the program comes next; with its terminal's master if it has one */
  PROCESS_STARTED,    /* execve(2) succeeded, or the child ended without a word */
  PROCESS_NO_PROGRAM, /* the program cannot be executed */
  PROCESS_FAILED,     /* a step of the set-up failed */
};

struct process_report {
  enum process_report_kind kind;
  struct failure failure; /* of NO_PROGRAM (text: what could not be executed) and FAILED */
  int terminal;           /* of PREPARED, non-blocking, or -1 */
};

/* Makes pipes and namespaces and starts the child. The step of a failure is `start-program`. */
bool process_start(const struct bundle *bundle, struct process *process, struct failure *failure);

/* The next thing the child tells. After STARTED, NO_PROGRAM and FAILED `report_file` is closed. */
struct process_report process_read_report(struct process *process);

/* Sends a signal to the program, or to its whole process group. */
void process_signal(const struct process *process, int signal_number, bool whole_group);
