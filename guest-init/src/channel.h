/* The control channel: frames over the two rings. Never waits: what does not fit now stays in a small queue, and
   a host that breaks the protocol closes the channel, not the program. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "control-page.h"
#include "frame.h"
#include "platform.h"

/* Holds what one turn of the loop may send while the ring is full: the host's next frame is only taken when the
   queue is empty, and each of them is answered by one small frame at most; the rest is the end of a life. */
#define CHANNEL_QUEUE_BYTES (8 * FRAME_SMALL_BYTES)

struct channel {
  bool is_open;
  bool was_attached; /* the host was there at least once */
  struct platform_channel platform;
  struct control_page *control;
  struct ring to_host, from_host;
  uint32_t host_took;        /* the host's index into to_host when last looked at */
  uint64_t host_took_at_ms;  /* when it was seen to move; 0 before */
  uint8_t queue[CHANNEL_QUEUE_BYTES];
  uint32_t queue_length;
  uint8_t payload[FRAME_LIMIT_BYTES]; /* the frame last received */
};

/* Allocates, fills and announces the channel. */
bool channel_open(struct channel *channel, struct failure *failure);

/* Ends it for good: the host sees guest_live 0, the console the reason. */
void channel_close(struct channel *channel, const char *reason);

/* Queues a small frame and puts what fits into the ring. Ignored when closed. */
void channel_send(struct channel *channel, const uint8_t *frame, uint32_t size);

/* Puts queued frames into the ring. True when none is left. */
bool channel_flush(struct channel *channel);

/* The next frame of the host's; false when there is none, frames of ours wait, or the channel is closed.
   `frame->data` is good until the next call. */
bool channel_receive(struct channel *channel, struct host_frame *frame);

/* Room for one `data` frame: how many bytes, and where in the ring they go (one or two pieces). 0 when the ring
   is too full or small frames wait. */
uint32_t channel_data_room(struct channel *channel, uint32_t wanted, struct iovec pieces[2], int *piece_count);

/* Sends the bytes that were put there. */
void channel_data_send(struct channel *channel, uint32_t stream, uint64_t offset, uint32_t length);

/* Looks whether the host is there and takes from the ring. */
void channel_observe(struct channel *channel, uint64_t now_ms);

/* Asks to be woken whenever the host takes something, though nothing waits for space. */
void channel_watch_host(struct channel *channel);

/* To be called before sleeping: asks the host for a wake-up (for data always, for space when `wants_space`).
   True when there is something to do at once. */
bool channel_before_sleep(struct channel *channel, bool wants_space);
