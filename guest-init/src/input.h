/* stdin or what is typed into a terminal: from the ring through a buffer of one window to the program. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "channel.h"
#include "output.h"

#define INPUT_STREAM 1u

struct input {
  bool exists;      /* false: the program reads /dev/null, the stream is not open */
  bool is_terminal;
  bool discards;    /* the program does not read any more; bytes are taken and dropped */
  bool end_received;
  int file;         /* non-blocking; -1 before the terminal is there and after the end */
  uint64_t offset;  /* bytes received */
  uint64_t granted; /* the limit the host knows */
  uint32_t start, length; /* of what waits in `bytes`, which is used as a ring */
  uint8_t bytes[STREAM_WINDOW_BYTES];
};

void input_open(struct input *input, int file, bool is_terminal);

/* Frames of the host's. NULL, or the reason why they break the protocol. */
const char *input_take(struct input *input, const struct host_frame *frame);
const char *input_take_end(struct input *input, const struct host_frame *frame);

/* Writes what the program takes now, gives credit back, and passes the end on when all is written. */
void input_pump(struct input *input, struct channel *channel);

/* Whether the file must become writable before anything goes on. */
bool input_waits_for_program(const struct input *input);

/* The program is gone, or no more will come. */
void input_discard(struct input *input);
