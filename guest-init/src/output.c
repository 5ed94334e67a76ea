/* The bytes go from the pipe straight into the ring's memory. */
#include "output.h"

#include <errno.h>
#include <sys/uio.h>

#define FRAMES_PER_TURN 8

void output_open(struct output *output, uint32_t stream, int file) {
  *output = (struct output){.stream = stream, .file = file, .limit = STREAM_WINDOW_BYTES};
}

/* One frame; the state stays HAS_MORE when there may be another. */
static enum output_state move_frame(struct output *output, struct channel *channel) {
  struct iovec pieces[2];
  int piece_count;
  uint64_t credit = output->limit - output->offset;
  if (credit == 0) return OUTPUT_WAITS_FOR_CREDIT;
  uint32_t wanted = credit < FRAME_DATA_LIMIT_BYTES ? (uint32_t)credit : FRAME_DATA_LIMIT_BYTES;
  uint32_t room = channel_data_room(channel, wanted, pieces, &piece_count);
  if (room == 0) return OUTPUT_WAITS_FOR_ROOM;
  ssize_t count = readv(output->file, pieces, piece_count);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return OUTPUT_WAITS_FOR_PROGRAM;
  if (count <= 0) return OUTPUT_AT_END; /* a terminal says EIO */
  channel_data_send(channel, output->stream, output->offset, (uint32_t)count);
  output->offset += (uint64_t)count;
  return OUTPUT_HAS_MORE;
}

void output_pump(struct output *output, struct channel *channel) {
  if (output->file < 0 || output->state == OUTPUT_AT_END) return;
  for (int frame = 0; frame < FRAMES_PER_TURN; frame++) {
    output->state = move_frame(output, channel);
    if (output->state != OUTPUT_HAS_MORE) return;
  }
}

void output_expect_end(struct output *output) {
  if (output->file < 0 || output->state == OUTPUT_WAITS_FOR_PROGRAM) output->state = OUTPUT_AT_END;
}
