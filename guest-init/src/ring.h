/* One direction of the shared memory: bytes, indices that run freely modulo 2^32, and two "wake me" flags
   (docs/contracts/channel.md). Each side keeps its own index privately; the other's is hostile input. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/* The words of one direction in the control page, each on a cache line of its own. */
struct ring_words {
  uint32_t prod;
  uint8_t reserved_1[60];
  uint32_t cons;
  uint8_t reserved_2[60];
  uint32_t want_data;
  uint8_t reserved_3[60];
  uint32_t want_space;
  uint8_t reserved_4[60];
};

struct ring {
  uint8_t *bytes;
  uint32_t size; /* a power of two */
  struct ring_words *words;
  uint32_t own; /* our index: prod where we produce, cons where we consume */
};

/* Free bytes for the producer, or −1 where the other side's index cannot be. */
int64_t ring_free(const struct ring *ring);

/* Bytes that wait for the consumer, or −1 where the other side's index cannot be. */
int64_t ring_used(const struct ring *ring);

/* The memory `length` bytes from `offset` beyond our index lie in: one piece, or two where the ring wraps. */
int ring_pieces(const struct ring *ring, uint32_t offset, uint32_t length, struct iovec pieces[2]);

/* Copies into, out of, that memory. The index does not move. */
void ring_put(const struct ring *ring, uint32_t offset, const void *source, uint32_t length);
void ring_get(const struct ring *ring, uint32_t offset, void *target, uint32_t length);

/* Moves our index and says whether the other side asked to be woken. */
bool ring_produced(struct ring *ring, uint32_t length);
bool ring_consumed(struct ring *ring, uint32_t length);

/* Asks to be woken, then looks again: true where the thing waited for is there already (or the index is bad). */
bool ring_want_data(struct ring *ring);
bool ring_want_space(struct ring *ring, uint32_t needed);
