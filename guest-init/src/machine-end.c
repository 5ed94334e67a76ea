/* From the program's last breath to power-off (docs/contracts/channel.md, "Life" 3 and 4). */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "machine.h"

#define HOST_TIMEOUT_MS 60000     /* after the host last took something */
#define NO_HOST_TIMEOUT_MS 10000  /* where it never attached */
#define STOP_GRACE_MS 10000       /* between TERM and KILL */
#define STOP_LEAVE_MS 5000        /* for the last frames, when the hypervisor wants us gone */

void machine_reap(struct machine *machine) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid != machine->process.pid) continue;
    machine->is_gone = true;
    machine->wait_status = status;
  }
}

void machine_request_stop(struct machine *machine, uint64_t now_ms) {
  if (machine->stop_requested) return;
  log_info("asked to power off");
  machine->stop_requested = true;
  machine->stop_deadline_ms = now_ms + STOP_GRACE_MS;
  if (machine->phase == MACHINE_RUNNING) process_signal(&machine->process, SIGTERM, false);
}

static void send_end(struct machine *machine) {
  uint8_t frame[FRAME_SMALL_BYTES];
  bool by_signal = WIFSIGNALED(machine->wait_status);
  int value = by_signal ? WTERMSIG(machine->wait_status) : WEXITSTATUS(machine->wait_status);
  for (size_t i = 0; i < machine->output_count; i++) {
    struct output *output = &machine->outputs[i];
    output->ended = true;
    channel_send(&machine->channel, frame, frame_write_end(frame, output->stream, output->offset));
  }
  bool core_dumped = by_signal && WCOREDUMP(machine->wait_status);
  channel_send(&machine->channel, frame, frame_write_exited(frame, by_signal, value, core_dumped));
  log_info("the program ended with %s %d", by_signal ? "signal" : "status", value);
}

/* The program and all of its namespace are gone: what they wrote lies in the pipes. */
static void begin_draining(struct machine *machine) {
  machine->phase = MACHINE_DRAINING;
  input_discard(&machine->input);
  if (machine->terminal_hold >= 0) close(machine->terminal_hold);
  machine->terminal_hold = -1;
  if (machine->stop_requested) machine->stop_deadline_ms = clock_ms() + STOP_LEAVE_MS;
}

/* The outputs were pumped just before: a pipe that is empty now stays empty. */
static bool is_drained(struct machine *machine) {
  bool drained = machine->console.length == 0;
  for (size_t i = 0; i < machine->output_count; i++) {
    output_expect_end(&machine->outputs[i]);
    if (machine->outputs[i].state != OUTPUT_AT_END) drained = false;
  }
  return drained;
}

static uint64_t leave_deadline_ms(const struct machine *machine) {
  uint64_t limit = machine->leaving_since_ms + NO_HOST_TIMEOUT_MS;
  if (machine->channel.was_attached) {
    uint64_t took_at_ms = machine->channel.host_took_at_ms;
    limit = (took_at_ms > machine->leaving_since_ms ? took_at_ms : machine->leaving_since_ms) + HOST_TIMEOUT_MS;
  }
  return machine->stop_requested && machine->stop_deadline_ms < limit ? machine->stop_deadline_ms : limit;
}

static bool may_leave(struct machine *machine, uint64_t now_ms) {
  if (!machine->channel.is_open) return true;
  if (machine->may_power_off && channel_flush(&machine->channel)) return true;
  return now_ms >= leave_deadline_ms(machine);
}

bool machine_advance(struct machine *machine, uint64_t now_ms) {
  bool stop_is_due = machine->stop_requested && now_ms >= machine->stop_deadline_ms;
  if (machine->phase == MACHINE_RUNNING && machine->is_gone) {
    begin_draining(machine);
    return false; /* pump once more: the last bytes may have come since */
  }
  if (machine->phase <= MACHINE_RUNNING && stop_is_due) {
    process_signal(&machine->process, SIGKILL, false);
    machine->stop_deadline_ms = now_ms + STOP_GRACE_MS;
  }
  if (machine->phase == MACHINE_DRAINING && (is_drained(machine) || stop_is_due)) {
    send_end(machine);
    machine->phase = MACHINE_LEAVING;
    machine->leaving_since_ms = now_ms;
  }
  return machine->phase == MACHINE_LEAVING && may_leave(machine, now_ms);
}

uint64_t machine_deadline_ms(const struct machine *machine) {
  if (machine->phase == MACHINE_LEAVING) return leave_deadline_ms(machine);
  return machine->stop_requested ? machine->stop_deadline_ms : UINT64_MAX;
}
