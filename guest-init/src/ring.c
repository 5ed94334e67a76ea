/* The order of loads and stores follows docs/contracts/channel.md, "Control page". */
#include "ring.h"

#include <string.h>

/* Careful: a hostile index is read once and judged from that copy. */
static int64_t distance(const struct ring *ring, uint32_t ahead, uint32_t behind) {
  uint32_t used = ahead - behind;
  return used > ring->size ? -1 : (int64_t)used;
}

int64_t ring_free(const struct ring *ring) {
  int64_t used = distance(ring, ring->own, __atomic_load_n(&ring->words->cons, __ATOMIC_ACQUIRE));
  return used < 0 ? -1 : (int64_t)ring->size - used;
}

int64_t ring_used(const struct ring *ring) {
  return distance(ring, __atomic_load_n(&ring->words->prod, __ATOMIC_ACQUIRE), ring->own);
}

int ring_pieces(const struct ring *ring, uint32_t offset, uint32_t length, struct iovec pieces[2]) {
  uint32_t start = (ring->own + offset) & (ring->size - 1), until_end = ring->size - start;
  uint32_t first = length < until_end ? length : until_end;
  pieces[0] = (struct iovec){.iov_base = ring->bytes + start, .iov_len = first};
  pieces[1] = (struct iovec){.iov_base = ring->bytes, .iov_len = length - first};
  return length > first ? 2 : 1;
}

void ring_put(const struct ring *ring, uint32_t offset, const void *source, uint32_t length) {
  struct iovec pieces[2];
  ring_pieces(ring, offset, length, pieces);
  memcpy(pieces[0].iov_base, source, pieces[0].iov_len);
  memcpy(pieces[1].iov_base, (const uint8_t *)source + pieces[0].iov_len, pieces[1].iov_len);
}

void ring_get(const struct ring *ring, uint32_t offset, void *target, uint32_t length) {
  struct iovec pieces[2];
  ring_pieces(ring, offset, length, pieces);
  memcpy(target, pieces[0].iov_base, pieces[0].iov_len);
  memcpy((uint8_t *)target + pieces[0].iov_len, pieces[1].iov_base, pieces[1].iov_len);
}

/* The full fence keeps the store of the index before the look at the flag. */
static bool publish(struct ring *ring, uint32_t *index, uint32_t *flag, uint32_t length) {
  ring->own += length;
  __atomic_store_n(index, ring->own, __ATOMIC_RELEASE);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return __atomic_exchange_n(flag, 0, __ATOMIC_SEQ_CST) != 0;
}

bool ring_produced(struct ring *ring, uint32_t length) {
  return publish(ring, &ring->words->prod, &ring->words->want_data, length);
}

bool ring_consumed(struct ring *ring, uint32_t length) {
  return publish(ring, &ring->words->cons, &ring->words->want_space, length);
}

bool ring_want_data(struct ring *ring) {
  __atomic_store_n(&ring->words->want_data, 1, __ATOMIC_SEQ_CST);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return ring_used(ring) != 0;
}

bool ring_want_space(struct ring *ring, uint32_t needed) {
  __atomic_store_n(&ring->words->want_space, 1, __ATOMIC_SEQ_CST);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  int64_t free_bytes = ring_free(ring);
  return free_bytes < 0 || free_bytes >= (int64_t)needed;
}
