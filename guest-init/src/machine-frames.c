/* Frames of the host's and reports of the child: what each changes. */
#include <signal.h>

#include "clock.h"
#include "log.h"
#include "machine.h"
#include "terminal.h"

/* Standard input is stream 1 (input.h). */
#define OUTPUT_STREAM 2u
#define ERROR_STREAM 3u

void machine_begin(struct machine *machine) {
  machine->child_file = machine->stop_file = machine->terminal_hold = machine->console.file = machine->input.file = -1;
  machine->process.report_file = machine->process.kill_file = machine->outputs[0].file = machine->outputs[1].file = -1;
}

void machine_open_streams(struct machine *machine) {
  const struct bundle *bundle = &machine->bundle;
  const struct process *process = &machine->process;
  if (bundle->process.terminal || bundle->process.has_stdin)
    input_open(&machine->input, process->input_file, bundle->process.terminal);
  output_open(&machine->outputs[0], OUTPUT_STREAM, process->output_file);
  output_open(&machine->outputs[1], ERROR_STREAM, process->error_file);
  machine->output_count = bundle->process.terminal ? 1 : 2;
}

static void answer_hello(struct machine *machine, uint32_t epoch) {
  struct frame_stream streams[3];
  uint32_t count = 0;
  uint8_t frame[FRAME_SMALL_BYTES];
  const struct input *input = &machine->input;
  if (input->exists)
    streams[count++] =
        (struct frame_stream){INPUT_STREAM, TO_GUEST, input->offset, input->granted, input->end_received};
  for (size_t i = 0; i < machine->output_count; i++) {
    const struct output *output = &machine->outputs[i];
    streams[count++] =
        (struct frame_stream){output->stream, TO_HOST, output->offset, output->limit, output->ended};
  }
  channel_send(&machine->channel, frame, frame_write_hello(frame, epoch, streams, count));
}

static const char *take_credit(struct machine *machine, const struct host_frame *frame) {
  for (size_t i = 0; i < machine->output_count; i++) {
    struct output *output = &machine->outputs[i];
    if (output->stream != frame->stream) continue;
    if (frame->limit > output->limit) output->limit = frame->limit;
    return NULL;
  }
  return "credit for a stream that is not open";
}

static void take_signal(struct machine *machine, const struct host_frame *frame) {
  if (machine->phase == MACHINE_RUNNING)
    process_signal(&machine->process, frame->signal, frame->whole_group);
  else if (machine->phase == MACHINE_STARTING)
    machine->held_signals |= 1ull << (frame->signal - 1);
}

static void take_resize(struct machine *machine, const struct host_frame *frame) {
  int terminal = machine->bundle.process.terminal ? machine->outputs[0].file : -1;
  if (terminal >= 0)
    terminal_resize(terminal, frame->rows, frame->columns, frame->width_pixels, frame->height_pixels);
  else if (machine->phase == MACHINE_STARTING) { /* the terminal will be made with this size */
    machine->bundle.process.rows = frame->rows;
    machine->bundle.process.columns = frame->columns;
  }
}

const char *machine_handle_frame(struct machine *machine, const struct host_frame *frame) {
  bool has_stream = frame->type == FRAME_DATA || frame->type == FRAME_CREDIT || frame->type == FRAME_END;
  if (!has_stream && frame->stream != 0) return "a frame for a stream that cannot have it";
  switch (frame->type) {
    case FRAME_HELLO:
      machine->channel.was_attached = true;
      answer_hello(machine, frame->epoch);
      return NULL;
    case FRAME_DATA: return input_take(&machine->input, frame);
    case FRAME_END: return input_take_end(&machine->input, frame);
    case FRAME_CREDIT: return take_credit(machine, frame);
    case FRAME_RESIZE: take_resize(machine, frame); return NULL;
    case FRAME_SIGNAL: take_signal(machine, frame); return NULL;
    case FRAME_SHUTDOWN: machine->may_power_off = true; return NULL;
    default: return "a frame that only the guest may send";
  }
}

static void take_terminal(struct machine *machine, int terminal) {
  if (terminal < 0) return;
  machine->outputs[0].file = machine->input.file = terminal;
  machine->terminal_hold = terminal_hold(terminal);
  terminal_resize(terminal, machine->bundle.process.rows, machine->bundle.process.columns, 0, 0);
}

static void start_running(struct machine *machine) {
  uint8_t frame[FRAME_SMALL_BYTES];
  struct failure failure;
  if (!machine->is_prepared) {
    fail(&failure, "start-program", 0, "the program's set-up ended before it was finished");
    machine_fail(machine, &failure);
    return;
  }
  channel_send(&machine->channel, frame, frame_write_started(frame, (uint32_t)machine->process.pid));
  machine->phase = MACHINE_RUNNING;
  for (int number = 1; number <= 64; number++)
    if (machine->held_signals >> (number - 1) & 1) process_signal(&machine->process, number, false);
  if (machine->stop_requested) process_signal(&machine->process, SIGTERM, false);
}

void machine_handle_report(struct machine *machine, const struct process_report *report) {
  uint8_t frame[FRAME_SMALL_BYTES];
  switch (report->kind) {
    case PROCESS_NOTHING:
    case PROCESS_WATCHED: return;
    case PROCESS_PREPARED:
      machine->is_prepared = true;
      take_terminal(machine, report->terminal);
      channel_send(&machine->channel, frame, frame_write_ready(frame, clock_ns(), true));
      return;
    case PROCESS_STARTED: start_running(machine); return;
    case PROCESS_FAILED: machine_fail(machine, &report->failure); return;
    case PROCESS_NO_PROGRAM:
      log_error("cannot execute %s (errno %d)", report->failure.text, report->failure.error);
      channel_send(&machine->channel, frame,
                   frame_write_exec_failed(frame, report->failure.error, report->failure.text));
      machine->phase = MACHINE_LEAVING;
      machine->leaving_since_ms = clock_ms();
  }
}

void machine_fail(struct machine *machine, const struct failure *failure) {
  uint8_t frame[FRAME_SMALL_BYTES];
  log_failure(failure);
  channel_send(&machine->channel, frame, frame_write_failed(frame, failure));
  machine->phase = MACHINE_LEAVING;
  machine->leaving_since_ms = clock_ms();
}
