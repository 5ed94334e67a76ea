/* A pipe's end is passed on by closing it, a terminal's by typing its end character. */
#include "input.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "terminal.h"

#define CREDIT_STEP_BYTES (STREAM_WINDOW_BYTES / 2)

void input_open(struct input *input, int file, bool is_terminal) {
  memset(input, 0, offsetof(struct input, bytes));
  input->exists = true;
  input->is_terminal = is_terminal;
  input->file = file;
  input->granted = STREAM_WINDOW_BYTES;
}

const char *input_take(struct input *input, const struct host_frame *frame) {
  if (!input->exists || frame->stream != INPUT_STREAM) return "data for a stream that is not open";
  if (input->end_received) return "data behind the end of its stream";
  if (frame->offset != input->offset) return "data at a wrong offset";
  if (frame->data_length > input->granted - input->offset) return "data beyond the credit";
  input->offset += frame->data_length;
  if (input->discards) return NULL;
  uint32_t at = (input->start + input->length) % STREAM_WINDOW_BYTES, until_end = STREAM_WINDOW_BYTES - at;
  uint32_t first = frame->data_length < until_end ? frame->data_length : until_end;
  memcpy(input->bytes + at, frame->data, first);
  memcpy(input->bytes, frame->data + first, frame->data_length - first);
  input->length += frame->data_length;
  return NULL;
}

const char *input_take_end(struct input *input, const struct host_frame *frame) {
  if (!input->exists || frame->stream != INPUT_STREAM) return "an end for a stream that is not open";
  if (input->end_received) return "a second end of one stream";
  if (frame->offset != input->offset) return "an end at a wrong offset";
  input->end_received = true;
  return NULL;
}

/* False when the program takes nothing more now. */
static bool write_some(struct input *input) {
  uint32_t until_end = STREAM_WINDOW_BYTES - input->start;
  uint32_t first = input->length < until_end ? input->length : until_end;
  struct iovec pieces[2] = {
      {.iov_base = input->bytes + input->start, .iov_len = first},
      {.iov_base = input->bytes, .iov_len = input->length - first},
  };
  ssize_t count = writev(input->file, pieces, 2);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (count < 0) return input_discard(input), false; /* EPIPE: the program closed it */
  input->start = (input->start + (uint32_t)count) % STREAM_WINDOW_BYTES;
  input->length -= (uint32_t)count;
  return count > 0;
}

static void pass_end_on(struct input *input) {
  char end = input->is_terminal ? terminal_end_character(input->file) : 0;
  if (end != 0 && write(input->file, &end, 1) < 0 && errno == EAGAIN) return; /* again when it is writable */
  input_discard(input);
}

static void give_credit(struct input *input, struct channel *channel) {
  uint8_t frame[FRAME_SMALL_BYTES];
  uint64_t limit = input->offset - input->length + STREAM_WINDOW_BYTES;
  if (input->end_received || limit - input->granted < CREDIT_STEP_BYTES) return;
  input->granted = limit;
  channel_send(channel, frame, frame_write_credit(frame, INPUT_STREAM, limit));
}

void input_pump(struct input *input, struct channel *channel) {
  if (!input->exists) return;
  while (input->file >= 0 && !input->discards && input->length > 0 && write_some(input)) continue;
  if (input->file >= 0 && !input->discards && input->length == 0 && input->end_received) pass_end_on(input);
  give_credit(input, channel);
}

bool input_waits_for_program(const struct input *input) {
  return input->exists && input->file >= 0 && !input->discards && (input->length > 0 || input->end_received);
}

void input_discard(struct input *input) {
  input->discards = true;
  input->start = input->length = 0;
  /* A terminal's file is the output's too, which closes it. */
  if (!input->is_terminal && input->file >= 0) close(input->file);
  input->file = -1;
}
