/* The wire protocol of xenstore (xen/include/public/io/xs_wire.h): a header of four words, then the payload.
   /dev/xen/xenbus takes one message per write and gives back whole messages. */
#include "xenstore.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define STEP "announce-channel"
#define XS_WRITE 11u
#define XS_ERROR 16u
#define ANSWER_TIMEOUT_MS 10000

struct message {
  uint32_t type, request, transaction, length;
  char payload[512];
};
#define HEADER_BYTES 16

static bool exchange(int file, struct message *message, struct failure *failure) {
  size_t size = HEADER_BYTES + message->length;
  if (write(file, message, size) != (ssize_t)size) return fail(failure, STEP, errno, "cannot write to xenstore");
  struct pollfd answer = {.fd = file, .events = POLLIN};
  if (poll(&answer, 1, ANSWER_TIMEOUT_MS) != 1) return fail(failure, STEP, ETIMEDOUT, "xenstore gave no answer");
  ssize_t count = read(file, message, sizeof *message - 1);
  if (count < HEADER_BYTES) return fail(failure, STEP, count < 0 ? errno : EIO, "cannot read from xenstore");
  ((char *)message)[count] = '\0';
  return true;
}

bool xenstore_write(const char *path, const char *value, struct failure *failure) {
  struct message message = {.type = XS_WRITE};
  size_t path_bytes = strlen(path) + 1, value_bytes = strlen(value);
  if (path_bytes + value_bytes > sizeof message.payload) return fail(failure, STEP, E2BIG, "%s", path);
  memcpy(message.payload, path, path_bytes);
  memcpy(message.payload + path_bytes, value, value_bytes);
  message.length = (uint32_t)(path_bytes + value_bytes);
  int file = open("/dev/xen/xenbus", O_RDWR | O_CLOEXEC);
  if (file < 0) return fail(failure, STEP, errno, "/dev/xen/xenbus");
  bool answered = exchange(file, &message, failure);
  close(file);
  if (!answered) return false;
  if (message.type == XS_ERROR) return fail(failure, STEP, 0, "xenstore refused %s: %s", path, message.payload);
  return true;
}
