/* The one loop: take what has come, move what can be moved, then sleep until something happens. */
#include <limits.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "machine.h"
#include "self-kill.h"

#define FRAMES_PER_TURN 64

enum {
  FILE_CHILDREN,
  FILE_STOP,
  FILE_REPORTS,
  FILE_EVENTS,
  FILE_INPUT,
  FILE_CONSOLE,
  FILE_KILLS,
  FILE_OUTPUTS,
  FILE_COUNT = FILE_OUTPUTS + 2
};

static bool take_signals(int file) {
  struct signalfd_siginfo information;
  bool any = false;
  while (read(file, &information, sizeof information) == (ssize_t)sizeof information) any = true;
  return any;
}

static void take_reports(struct machine *machine) {
  struct process_report report;
  do {
    report = process_read_report(&machine->process);
    machine_handle_report(machine, &report);
  } while (report.kind != PROCESS_NOTHING);
}

static void take_frames(struct machine *machine) {
  struct host_frame frame;
  for (int count = 0; count < FRAMES_PER_TURN && channel_receive(&machine->channel, &frame); count++) {
    const char *reason = machine_handle_frame(machine, &frame);
    if (reason != NULL) channel_close(&machine->channel, reason);
  }
}

/* Output is read only when the host knows that the program has started. */
static void move_bytes(struct machine *machine) {
  struct channel *channel = &machine->channel;
  if (!channel->is_open && machine->input.exists) machine->input.end_received = true;
  input_pump(&machine->input, channel);
  for (size_t i = 0; i < machine->output_count && machine->phase != MACHINE_STARTING; i++) {
    if (channel->is_open) output_pump(&machine->outputs[i], channel);
    if (!channel->is_open) console_copy_pump(&machine->console, &machine->outputs[i]);
  }
  channel_flush(channel);
}

static bool any_output_is(const struct machine *machine, enum output_state state) {
  if (machine->phase == MACHINE_STARTING) return false;
  for (size_t i = 0; i < machine->output_count; i++)
    if (machine->outputs[i].file >= 0 && machine->outputs[i].state == state) return true;
  return false;
}

static int timeout_ms(struct machine *machine) {
  bool wants_space = any_output_is(machine, OUTPUT_WAITS_FOR_ROOM);
  if (any_output_is(machine, OUTPUT_HAS_MORE) || channel_before_sleep(&machine->channel, wants_space)) return 0;
  uint64_t now_ms = clock_ms(), deadline_ms = machine_deadline_ms(machine);
  if (deadline_ms == UINT64_MAX) return -1;
  if (deadline_ms <= now_ms) return 0;
  return deadline_ms - now_ms > INT_MAX ? INT_MAX : (int)(deadline_ms - now_ms);
}

/* It hangs up when everything that was watched is gone. */
static void forget_kill_file(struct process *process) {
  close(process->kill_file);
  process->kill_file = -1;
}

/* A file of −1 is passed over by poll(2): what cannot go on must not wake us by its hang-up either. */
static void sleep_until_something(struct machine *machine) {
  struct pollfd files[FILE_COUNT];
  bool console_is_full = machine->console.length > 0;
  files[FILE_CHILDREN] = (struct pollfd){.fd = machine->child_file, .events = POLLIN};
  files[FILE_STOP] = (struct pollfd){.fd = machine->stop_file, .events = POLLIN};
  files[FILE_REPORTS] = (struct pollfd){.fd = machine->process.report_file, .events = POLLIN};
  files[FILE_EVENTS] =
      (struct pollfd){.fd = machine->channel.is_open ? machine->channel.platform.event_file : -1, .events = POLLIN};
  files[FILE_INPUT] = (struct pollfd){
      .fd = input_waits_for_program(&machine->input) ? machine->input.file : -1, .events = POLLOUT};
  files[FILE_CONSOLE] = (struct pollfd){.fd = console_is_full ? machine->console.file : -1, .events = POLLOUT};
  files[FILE_KILLS] = (struct pollfd){.fd = machine->process.kill_file, .events = POLLIN};
  for (size_t i = 0; i < 2; i++) {
    const struct output *output = &machine->outputs[i];
    bool waits = machine->phase == MACHINE_RUNNING && output->state == OUTPUT_WAITS_FOR_PROGRAM;
    files[FILE_OUTPUTS + i] = (struct pollfd){.fd = waits ? output->file : -1, .events = POLLIN};
  }
  if (machine->phase == MACHINE_LEAVING) channel_watch_host(&machine->channel);
  if (poll(files, FILE_COUNT, timeout_ms(machine)) <= 0) return;
  if (files[FILE_KILLS].revents & POLLIN) self_kill_take(machine->process.kill_file, machine->process.pid);
  else if (files[FILE_KILLS].revents != 0) forget_kill_file(&machine->process);
}

void machine_run(struct machine *machine) {
  for (;;) {
    if (take_signals(machine->stop_file)) machine_request_stop(machine, clock_ms());
    if (take_signals(machine->child_file)) machine_reap(machine); /* one SIGCHLD may stand for many */
    take_reports(machine);
    if (machine->channel.is_open) platform_take_events(&machine->channel.platform);
    channel_observe(&machine->channel, clock_ms());
    take_frames(machine);
    move_bytes(machine);
    enum machine_phase phase = machine->phase;
    if (machine_advance(machine, clock_ms())) return;
    if (machine->phase == phase) sleep_until_something(machine);
  }
}
