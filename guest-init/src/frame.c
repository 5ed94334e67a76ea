/* Writers and readers of frames. A text too long for a small frame is cut. */
#include "frame.h"

#include <assert.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "integers are copied as they lie in memory");

#define HELLO_STREAM_BYTES 40
#define SIGNAL_LIMIT 64

/* Appends to a frame in `out`; the header comes first, the padding last. */
struct writer {
  uint8_t *out;
  uint32_t length;
};

static void put(struct writer *writer, const void *bytes, size_t length) {
  memcpy(writer->out + writer->length, bytes, length);
  writer->length += (uint32_t)length;
}

static void put32(struct writer *writer, uint32_t value) { put(writer, &value, sizeof value); }
static void put64(struct writer *writer, uint64_t value) { put(writer, &value, sizeof value); }

static void write_header(uint8_t *out, enum frame_type type, uint32_t stream, uint32_t length) {
  struct writer writer = {.out = out};
  uint16_t type_and_flags[2] = {(uint16_t)type, 0};
  put32(&writer, length);
  put(&writer, type_and_flags, sizeof type_and_flags);
  put32(&writer, stream);
  put32(&writer, 0);
}

static struct writer begin(uint8_t *out) { return (struct writer){.out = out, .length = FRAME_HEADER_BYTES}; }

static uint32_t finish(struct writer *writer, enum frame_type type, uint32_t stream) {
  uint32_t payload = writer->length - FRAME_HEADER_BYTES, size = frame_size(payload);
  write_header(writer->out, type, stream, payload);
  memset(writer->out + writer->length, 0, size - writer->length);
  return size;
}

/* As much of the text as fits. */
static void put_text(struct writer *writer, const char *text) {
  size_t length = strlen(text), room = FRAME_SMALL_BYTES - writer->length;
  put(writer, text, length < room ? length : room);
}

uint32_t frame_write_hello(uint8_t *out, uint32_t epoch, const struct frame_stream *streams, uint32_t count) {
  struct writer writer = begin(out);
  put32(&writer, CHANNEL_VERSION);
  put32(&writer, epoch);
  put32(&writer, 0);
  put32(&writer, count);
  for (uint32_t i = 0; i < count; i++) {
    put32(&writer, streams[i].stream);
    put32(&writer, streams[i].direction);
    put64(&writer, streams[i].offset);
    put64(&writer, streams[i].limit);
    put32(&writer, streams[i].ended);
    put32(&writer, 0);
    put64(&writer, 0);
  }
  return finish(&writer, FRAME_HELLO, 0);
}

uint32_t frame_write_credit(uint8_t *out, uint32_t stream, uint64_t limit) {
  struct writer writer = begin(out);
  put64(&writer, limit);
  return finish(&writer, FRAME_CREDIT, stream);
}

uint32_t frame_write_end(uint8_t *out, uint32_t stream, uint64_t offset) {
  struct writer writer = begin(out);
  put64(&writer, offset);
  return finish(&writer, FRAME_END, stream);
}

uint32_t frame_write_ready(uint8_t *out, uint64_t boot_time_ns, bool root_mounted) {
  struct writer writer = begin(out);
  put64(&writer, boot_time_ns);
  put32(&writer, root_mounted);
  return finish(&writer, FRAME_READY, 0);
}

uint32_t frame_write_started(uint8_t *out, uint32_t pid) {
  struct writer writer = begin(out);
  put32(&writer, pid);
  put32(&writer, 0);
  return finish(&writer, FRAME_STARTED, 0);
}

uint32_t frame_write_exec_failed(uint8_t *out, int error, const char *text) {
  struct writer writer = begin(out);
  put32(&writer, (uint32_t)error);
  put32(&writer, 0);
  put_text(&writer, text);
  return finish(&writer, FRAME_EXEC_FAILED, 0);
}

uint32_t frame_write_exited(uint8_t *out, bool by_signal, int value, bool core_dumped) {
  struct writer writer = begin(out);
  put32(&writer, by_signal);
  put32(&writer, (uint32_t)value);
  put32(&writer, core_dumped);
  put32(&writer, 0);
  return finish(&writer, FRAME_EXITED, 0);
}

uint32_t frame_write_failed(uint8_t *out, const struct failure *failure) {
  struct writer writer = begin(out);
  put32(&writer, (uint32_t)failure->error);
  put32(&writer, (uint32_t)strlen(failure->step));
  put(&writer, failure->step, strlen(failure->step));
  put_text(&writer, failure->text);
  return finish(&writer, FRAME_FAILED, 0);
}

void frame_write_data_start(uint8_t *out, uint32_t stream, uint64_t offset, uint32_t data_length) {
  write_header(out, FRAME_DATA, stream, FRAME_OFFSET_BYTES + data_length);
  memcpy(out + FRAME_HEADER_BYTES, &offset, sizeof offset);
}

static uint16_t get16(const uint8_t *bytes) {
  uint16_t value;
  memcpy(&value, bytes, sizeof value);
  return value;
}

static uint32_t get32(const uint8_t *bytes) {
  uint32_t value;
  memcpy(&value, bytes, sizeof value);
  return value;
}

static uint64_t get64(const uint8_t *bytes) {
  uint64_t value;
  memcpy(&value, bytes, sizeof value);
  return value;
}

void frame_read_header(const uint8_t *bytes, struct frame_header *header) {
  *header = (struct frame_header){
      .length = get32(bytes),
      .type = get16(bytes + 4),
      .flags = get16(bytes + 6),
      .stream = get32(bytes + 8),
      .container = get32(bytes + 12),
  };
}

static const char *read_hello(uint32_t length, const uint8_t *payload, struct host_frame *frame) {
  if (length < 16 || length != 16 + (uint64_t)get32(payload + 12) * HELLO_STREAM_BYTES)
    return "a hello of the wrong size";
  if (get32(payload) != CHANNEL_VERSION) return "a hello of another version";
  if (get32(payload + 12) != 0) return "a hello from the host with streams";
  frame->epoch = get32(payload + 4);
  return NULL;
}

static const char *read_data(uint32_t length, const uint8_t *payload, struct host_frame *frame) {
  if (length <= FRAME_OFFSET_BYTES) return "data without bytes";
  frame->offset = get64(payload);
  frame->data = payload + FRAME_OFFSET_BYTES;
  frame->data_length = length - FRAME_OFFSET_BYTES;
  return NULL;
}

static void read_resize(const uint8_t *payload, struct host_frame *frame) {
  frame->rows = get16(payload);
  frame->columns = get16(payload + 2);
  frame->width_pixels = get16(payload + 4);
  frame->height_pixels = get16(payload + 6);
}

static const char *read_signal(const uint8_t *payload, struct host_frame *frame) {
  frame->signal = (int32_t)get32(payload);
  if (frame->signal < 1 || frame->signal > SIGNAL_LIMIT) return "a signal number that does not exist";
  if (get32(payload + 4) > 1) return "a signal for an unknown recipient";
  frame->whole_group = get32(payload + 4) == 1;
  return NULL;
}

const char *frame_read(const struct frame_header *header, const uint8_t *payload, struct host_frame *frame) {
  if (header->length > FRAME_LIMIT_BYTES) return "a frame longer than 16384 bytes";
  if (header->flags != 0) return "a frame with flags";
  if (header->container != 0) return "a frame for an unknown container";
  *frame = (struct host_frame){.type = header->type, .stream = header->stream};
  switch (header->type) {
    case FRAME_HELLO: return read_hello(header->length, payload, frame);
    case FRAME_DATA: return read_data(header->length, payload, frame);
    case FRAME_CREDIT:
    case FRAME_END:
    case FRAME_RESIZE:
    case FRAME_SIGNAL:
    case FRAME_SHUTDOWN:
      if (header->length != 8) return "a payload of the wrong size";
      break;
    default: return "a frame of an unknown type";
  }
  switch (header->type) {
    case FRAME_CREDIT: frame->limit = get64(payload); return NULL;
    case FRAME_END: frame->offset = get64(payload); return NULL;
    case FRAME_RESIZE: read_resize(payload, frame); return NULL;
    case FRAME_SIGNAL: return read_signal(payload, frame);
    default: return get32(payload) == 0 ? NULL : "a shutdown of an unknown kind";
  }
}
