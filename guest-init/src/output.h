/* stdout, stderr or a terminal's output: from the program's pipe into the ring, as far as the host's credit goes.
   Nothing is kept here: without credit or room the pipe is not read, and the program waits as it would with any
   slow reader. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "channel.h"

#define STREAM_WINDOW_BYTES 65536u /* what may be sent before the first credit */

enum output_state {
  OUTPUT_WAITS_FOR_PROGRAM, /* the pipe is empty */
  OUTPUT_WAITS_FOR_CREDIT,
  OUTPUT_WAITS_FOR_ROOM,
  OUTPUT_HAS_MORE, /* stopped to give others their turn */
  OUTPUT_AT_END,   /* no one holds the other end any more */
};

struct output {
  uint32_t stream;
  int file; /* -1 before the terminal is there */
  uint64_t offset, limit;
  enum output_state state;
  bool ended; /* the `end` frame was sent */
};

void output_open(struct output *output, uint32_t stream, int file);

/* Moves bytes until something is missing; the state says what. */
void output_pump(struct output *output, struct channel *channel);

/* The program is gone: an empty pipe is at its end, whoever may still hold it. */
void output_expect_end(struct output *output);
