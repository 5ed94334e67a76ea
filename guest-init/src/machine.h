/* The machine's state from the first line of main() to power-off. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bundle.h"
#include "channel.h"
#include "console-copy.h"
#include "input.h"
#include "output.h"
#include "process.h"

enum machine_phase {
  MACHINE_STARTING, /* the child sets up or has yet to be started */
  MACHINE_RUNNING,  /* the program runs */
  MACHINE_DRAINING, /* it is gone, its last output is on its way */
  MACHINE_LEAVING,  /* everything is in the ring; the host reads it and says so */
};

struct machine {
  enum machine_phase phase;
  struct bundle bundle;
  struct channel channel;
  struct process process;
  struct output outputs[2];
  size_t output_count;
  struct input input;
  struct console_copy console;
  int child_file, stop_file; /* signalfds: a child ended; somebody wants a power-off */
  int terminal_hold; /* a slave of the program's terminal that keeps it open; -1 without */
  bool is_prepared;  /* the child has set everything up */
  bool is_gone;      /* the program was reaped */
  int wait_status;   /* what waitpid(2) said of it */
  uint64_t held_signals;      /* signals that came before the program ran: bit N − 1 for signal N */
  bool may_power_off;         /* the host said `shutdown` */
  bool stop_requested;        /* the hypervisor's power button: TERM, then KILL */
  uint64_t stop_deadline_ms;  /* when the next, harder, measure is due */
  uint64_t leaving_since_ms;
};

/* Nothing is open yet. */
void machine_begin(struct machine *machine);

/* Opens the streams that the bundle asks for; the terminal's file comes later. */
void machine_open_streams(struct machine *machine);

/* Handles one frame of the host's. NULL, or the reason to close the channel. */
const char *machine_handle_frame(struct machine *machine, const struct host_frame *frame);

/* Handles what the child tells. */
void machine_handle_report(struct machine *machine, const struct process_report *report);

/* Tells console and host that the launch cannot go on, and prepares to leave. */
void machine_fail(struct machine *machine, const struct failure *failure);

/* Reaps every child of PID 1; notices the program's end. */
void machine_reap(struct machine *machine);

/* What the phases wait for; true when it is time to power off. */
bool machine_advance(struct machine *machine, uint64_t now_ms);

/* Asked to stop by the hypervisor: TERM for the program, KILL if that does not help. */
void machine_request_stop(struct machine *machine, uint64_t now_ms);

/* When machine_advance() must look again though nothing has happened; UINT64_MAX: never. */
uint64_t machine_deadline_ms(const struct machine *machine);

/* Runs until it is time to power off. Never waits for anything but poll(2). */
void machine_run(struct machine *machine);
