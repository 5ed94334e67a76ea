/* Indices move by whole frames only, so that a side that dies leaves frame borders behind. */
#include "channel.h"

#include <string.h>

#include "log.h"

#define STEP "open-channel"
/* A data frame waits until a whole one would fit: small ones in a nearly full ring cost more than they bring. */
#define DATA_ROOM_BYTES (FRAME_HEADER_BYTES + FRAME_LIMIT_BYTES)

bool channel_open(struct channel *channel, struct failure *failure) {
  memset(channel, 0, sizeof *channel);
  if (!platform_open_channel(&channel->platform, failure)) return false;
  uint8_t *memory = channel->platform.memory;
  struct control_page *control = channel->control = (struct control_page *)(void *)memory;
  memset(control, 0, sizeof *control);
  control->version = CHANNEL_VERSION;
  control->to_host_pages = TO_HOST_PAGES;
  control->from_host_pages = FROM_HOST_PAGES;
  memcpy(control->references, channel->platform.references + 1, (SHARED_PAGES - 1) * sizeof(uint32_t));
  channel->to_host = (struct ring){
      .bytes = memory + PAGE_BYTES,
      .size = TO_HOST_PAGES * PAGE_BYTES,
      .words = &control->to_host,
  };
  channel->from_host = (struct ring){
      .bytes = memory + PAGE_BYTES + channel->to_host.size,
      .size = FROM_HOST_PAGES * PAGE_BYTES,
      .words = &control->from_host,
  };
  control->guest_live = 1;
  __atomic_store_n(&control->magic, CONTROL_MAGIC, __ATOMIC_RELEASE);
  channel->is_open = platform_announce(&channel->platform, failure);
  return channel->is_open;
}

void channel_close(struct channel *channel, const char *reason) {
  if (!channel->is_open) return;
  log_error("control channel closed: %s", reason);
  channel->is_open = false;
  __atomic_store_n(&channel->control->guest_live, 0, __ATOMIC_SEQ_CST);
  platform_notify(&channel->platform);
}

/* The ring's free bytes; closes the channel and returns 0 where the host's index cannot be. */
static uint32_t free_bytes(struct channel *channel) {
  int64_t bytes = ring_free(&channel->to_host);
  if (bytes < 0) channel_close(channel, "the host's index into the ring to it is impossible");
  return bytes < 0 ? 0 : (uint32_t)bytes;
}

static void produced(struct channel *channel, uint32_t size) {
  if (ring_produced(&channel->to_host, size)) platform_notify(&channel->platform);
}

bool channel_flush(struct channel *channel) {
  uint32_t done = 0;
  while (channel->is_open && done < channel->queue_length) {
    struct frame_header header;
    frame_read_header(channel->queue + done, &header);
    uint32_t size = frame_size(header.length);
    if (free_bytes(channel) < size) break;
    ring_put(&channel->to_host, 0, channel->queue + done, size);
    produced(channel, size);
    done += size;
  }
  channel->queue_length -= done;
  memmove(channel->queue, channel->queue + done, channel->queue_length);
  return channel->queue_length == 0;
}

void channel_send(struct channel *channel, const uint8_t *frame, uint32_t size) {
  if (!channel->is_open) return;
  if (channel->queue_length + size > sizeof channel->queue) {
    channel_close(channel, "too many frames wait for the host");
    return;
  }
  memcpy(channel->queue + channel->queue_length, frame, size);
  channel->queue_length += size;
  channel_flush(channel);
}

/* Copies one frame out of the ring and gives its space back; NULL, or the reason to close the channel. */
static const char *take_frame(struct channel *channel, uint32_t used, struct host_frame *frame) {
  struct ring *ring = &channel->from_host;
  uint8_t bytes[FRAME_HEADER_BYTES];
  struct frame_header header;
  if (used < sizeof bytes) return "half a frame in the ring";
  ring_get(ring, 0, bytes, sizeof bytes);
  frame_read_header(bytes, &header);
  if (header.length > FRAME_LIMIT_BYTES) return "a frame longer than 16384 bytes";
  if (frame_size(header.length) > used) return "half a frame in the ring";
  ring_get(ring, sizeof bytes, channel->payload, header.length);
  if (ring_consumed(ring, frame_size(header.length))) platform_notify(&channel->platform);
  return frame_read(&header, channel->payload, frame);
}

bool channel_receive(struct channel *channel, struct host_frame *frame) {
  if (!channel->is_open || channel->queue_length > 0) return false;
  int64_t used = ring_used(&channel->from_host);
  if (used == 0) return false;
  const char *reason = used < 0 ? "the host's index into the ring from it is impossible"
                                : take_frame(channel, (uint32_t)used, frame);
  if (reason != NULL) channel_close(channel, reason);
  return reason == NULL;
}

uint32_t channel_data_room(struct channel *channel, uint32_t wanted, struct iovec pieces[2], int *piece_count) {
  if (!channel->is_open || !channel_flush(channel) || free_bytes(channel) < DATA_ROOM_BYTES) return 0;
  uint32_t length = wanted < FRAME_DATA_LIMIT_BYTES ? wanted : FRAME_DATA_LIMIT_BYTES;
  *piece_count = ring_pieces(&channel->to_host, FRAME_HEADER_BYTES + FRAME_OFFSET_BYTES, length, pieces);
  return length;
}

void channel_data_send(struct channel *channel, uint32_t stream, uint64_t offset, uint32_t length) {
  static const uint8_t zeros[8];
  uint8_t start[FRAME_HEADER_BYTES + FRAME_OFFSET_BYTES];
  uint32_t size = frame_size(FRAME_OFFSET_BYTES + length), end = sizeof start + length;
  frame_write_data_start(start, stream, offset, length);
  ring_put(&channel->to_host, 0, start, sizeof start);
  ring_put(&channel->to_host, end, zeros, size - end);
  produced(channel, size);
}

void channel_observe(struct channel *channel, uint64_t now_ms) {
  if (!channel->is_open) return;
  uint32_t took = __atomic_load_n(&channel->control->to_host.cons, __ATOMIC_ACQUIRE);
  if (__atomic_load_n(&channel->control->host_live, __ATOMIC_ACQUIRE) != 0) channel->was_attached = true;
  if (took == channel->host_took) return;
  channel->host_took = took;
  channel->host_took_at_ms = now_ms;
  channel->was_attached = true;
}

void channel_watch_host(struct channel *channel) {
  if (channel->is_open) ring_want_space(&channel->to_host, channel->to_host.size);
}

bool channel_before_sleep(struct channel *channel, bool wants_space) {
  if (!channel->is_open) return false;
  bool queued = channel->queue_length > 0;
  uint32_t needed = queued ? FRAME_SMALL_BYTES : DATA_ROOM_BYTES;
  if (queued || wants_space) {
    if (ring_want_space(&channel->to_host, needed)) return true;
  }
  return ring_want_data(&channel->from_host) && !queued;
}
