/* Layouts: include/uapi/linux/netlink.h; musl comes without the kernel's headers. */
#include "netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAMILY 16 /* AF_NETLINK */
#define ROUTE 0   /* NETLINK_ROUTE */
#define FLAG_REQUEST 1
#define FLAG_ACKNOWLEDGE 4
#define MESSAGE_ERROR 2 /* NLMSG_ERROR: the answer to every request, with 0 where all is well */

struct header { /* struct nlmsghdr */
  uint32_t length;
  uint16_t type, flags;
  uint32_t sequence, port;
};

struct attribute { /* struct rtattr */
  uint16_t length, type;
};

struct address { /* struct sockaddr_nl */
  uint16_t family, pad;
  uint32_t port, groups;
};

static size_t aligned(size_t length) { return (length + 3) & ~(size_t)3; }

/* Everything that is put into a request is a few dozen bytes; what does not fit makes the request invalid. */
static void put(struct netlink_request *request, const void *value, size_t length) {
  if (request->length + aligned(length) > sizeof request->bytes) return;
  memcpy(request->bytes + request->length, value, length);
  request->length += aligned(length);
}

void netlink_begin(struct netlink_request *request, enum netlink_type type, uint16_t more_flags, const void *body,
                   size_t body_length) {
  struct header header = {.type = (uint16_t)type,
                          .flags = (uint16_t)(FLAG_REQUEST | FLAG_ACKNOWLEDGE | more_flags),
                          .sequence = 1};
  *request = (struct netlink_request){0};
  put(request, &header, sizeof header);
  put(request, body, body_length);
}

void netlink_add(struct netlink_request *request, uint16_t attribute, const void *value, size_t length) {
  struct attribute head = {.length = (uint16_t)(sizeof head + length), .type = attribute};
  put(request, &head, sizeof head);
  put(request, value, length);
}

int netlink_open(uint32_t groups) {
  struct address address = {.family = FAMILY, .groups = groups};
  int file = socket(FAMILY, SOCK_RAW | SOCK_CLOEXEC, ROUTE);
  if (file < 0 || bind(file, (const struct sockaddr *)(const void *)&address, sizeof address) == 0) return file;
  int saved_error = errno;
  close(file);
  errno = saved_error;
  return -1;
}

int netlink_ask(int file, struct netlink_request *request) {
  struct {
    struct header header;
    int32_t error;
    uint8_t rest[1024];
  } answer;
  uint32_t length = (uint32_t)request->length;
  memcpy(request->bytes, &length, sizeof length);
  if (send(file, request->bytes, request->length, 0) < 0) return errno;
  ssize_t received = recv(file, &answer, sizeof answer, 0);
  if (received < 0) return errno;
  if ((size_t)received < sizeof answer.header + sizeof answer.error || answer.header.type != MESSAGE_ERROR)
    return EPROTO;
  return -answer.error;
}
