/* random(4); numbers from include/uapi/linux/random.h. */
#include "entropy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define RANDOM_ADD_ENTROPY 0x40085203ul /* RNDADDENTROPY */
#define RANDOM_RESEED 0x5207ul          /* RNDRESEEDCRNG */
#define SEED_LIMIT_BYTES 64

struct pool_info { /* struct rand_pool_info */
  int entropy_bits, size_bytes;
  uint8_t bytes[SEED_LIMIT_BYTES];
};

bool entropy_add(const uint8_t *seed, size_t size) {
  struct pool_info info = {.entropy_bits = (int)size * 8, .size_bytes = (int)size};
  if (size > sizeof info.bytes) return errno = E2BIG, false;
  memcpy(info.bytes, seed, size);
  int file = open("/dev/urandom", O_RDWR | O_CLOEXEC);
  if (file < 0) return false;
  bool added = ioctl(file, RANDOM_ADD_ENTROPY, &info) == 0 && ioctl(file, RANDOM_RESEED, 0) == 0;
  int saved_error = errno;
  close(file);
  errno = saved_error;
  return added;
}
