/* The channel's frames, byte for byte (docs/contracts/channel.md, "Frame"). Only this file and frame.c know
   offsets. Everything is little-endian, as is every machine this runs on. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"

#define FRAME_HEADER_BYTES 16
#define FRAME_LIMIT_BYTES 16384 /* of the payload */
#define FRAME_OFFSET_BYTES 8    /* what precedes the bytes of `data` */
#define FRAME_DATA_LIMIT_BYTES (FRAME_LIMIT_BYTES - FRAME_OFFSET_BYTES)
/* No frame but `data` that the guest sends is longer than this, padding included. */
#define FRAME_SMALL_BYTES 512

#define CHANNEL_VERSION 1

enum frame_type {
  FRAME_HELLO = 1,
  FRAME_DATA = 2,
  FRAME_CREDIT = 3,
  FRAME_END = 4,
  FRAME_READY = 16,
  FRAME_STARTED = 17,
  FRAME_EXEC_FAILED = 18,
  FRAME_EXITED = 19,
  FRAME_FAILED = 20,
  FRAME_RESIZE = 32,
  FRAME_SIGNAL = 33,
  FRAME_SHUTDOWN = 34,
};

enum frame_direction { TO_HOST = 0, TO_GUEST = 1 };

struct frame_header {
  uint32_t length;
  uint16_t type, flags;
  uint32_t stream, container;
};

/* A stream's state as `hello` tells it. */
struct frame_stream {
  uint32_t stream;
  enum frame_direction direction;
  uint64_t offset, limit;
  bool ended;
};

/* A frame of the host's. `data` points into the payload it was read from. */
struct host_frame {
  enum frame_type type;
  uint32_t stream;
  uint32_t epoch;           /* hello */
  uint64_t offset;          /* data, end */
  uint64_t limit;           /* credit */
  const uint8_t *data;      /* data */
  uint32_t data_length;
  uint16_t rows, columns, width_pixels, height_pixels; /* resize */
  int32_t signal;                                      /* signal */
  bool whole_group;
};

/* The bytes a frame takes in the ring. */
static inline uint32_t frame_size(uint32_t payload_length) {
  return FRAME_HEADER_BYTES + ((payload_length + 7) & ~7u);
}

void frame_read_header(const uint8_t *bytes, struct frame_header *header);

/* Checks a frame of the host's and takes it apart. Returns NULL, or the reason why it is refused. */
const char *frame_read(const struct frame_header *header, const uint8_t *payload, struct host_frame *frame);

/* Writers fill `out` and return the frame's size, padding included: at most FRAME_SMALL_BYTES. */
uint32_t frame_write_hello(uint8_t *out, uint32_t epoch, const struct frame_stream *streams, uint32_t count);
uint32_t frame_write_credit(uint8_t *out, uint32_t stream, uint64_t limit);
uint32_t frame_write_end(uint8_t *out, uint32_t stream, uint64_t offset);
uint32_t frame_write_ready(uint8_t *out, uint64_t boot_time_ns, bool root_mounted);
uint32_t frame_write_started(uint8_t *out, uint32_t pid);
uint32_t frame_write_exec_failed(uint8_t *out, int error, const char *text);
uint32_t frame_write_exited(uint8_t *out, bool by_signal, int value, bool core_dumped);
uint32_t frame_write_failed(uint8_t *out, const struct failure *failure);

/* The first 24 bytes of `data`: header and offset; the caller puts the bytes and the padding behind them. */
void frame_write_data_start(uint8_t *out, uint32_t stream, uint64_t offset, uint32_t data_length);
