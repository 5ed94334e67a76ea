/* A guest's addresses are alone in their networks (/32, /128): everything goes to the gateway, which is said to be on
   the link. netdevice(7), rtnetlink(7); include/uapi/linux/{rtnetlink,if_link,if_addr}.h. */
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"
#include "log.h"
#include "netlink.h"

#define STEP "set-up-network"
#define DEVICE_TIMEOUT_MS 10000
#define LOOK_INTERVAL_MS 250
#define GROUP_LINK 1 /* RTMGRP_LINK */

#define FLAG_EXCLUSIVE 0x200 /* NLM_F_EXCL */
#define FLAG_CREATE 0x400    /* NLM_F_CREATE */
#define LINK_MTU 4           /* IFLA_MTU */
#define ADDRESS_PEER 1       /* IFA_ADDRESS */
#define ADDRESS_LOCAL 2      /* IFA_LOCAL */
#define ADDRESS_NO_DAD 0x02  /* IFA_F_NODAD: the host gives an address to one guest */
#define ROUTE_TO 1           /* RTA_DST */
#define ROUTE_DEVICE 4       /* RTA_OIF */
#define ROUTE_GATEWAY 5      /* RTA_GATEWAY */
#define ROUTE_ONLINK 4       /* RTNH_F_ONLINK */
#define TABLE_MAIN 254       /* RT_TABLE_MAIN */
#define PROTOCOL_BOOT 3      /* RTPROT_BOOT */
#define SCOPE_LINK 253       /* RT_SCOPE_LINK */
#define TYPE_UNICAST 1       /* RTN_UNICAST */

struct link_body { /* struct ifinfomsg */
  uint8_t family, pad;
  uint16_t type;
  int32_t index;
  uint32_t flags, change;
};

struct address_body { /* struct ifaddrmsg */
  uint8_t family, prefix_bits, flags, scope;
  uint32_t index;
};

struct route_body { /* struct rtmsg */
  uint8_t family, destination_bits, source_bits, service, table, protocol, scope, type;
  uint32_t flags;
};

/* The interface, and the socket that its set-up goes over. */
struct link {
  int file;
  uint32_t index;
  char name[IF_NAMESIZE];
};

bool network_bring_up_loopback(void) {
  struct ifreq request = {.ifr_name = "lo"};
  int socket_file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_file < 0) return false;
  bool up = ioctl(socket_file, SIOCGIFFLAGS, &request) == 0;
  request.ifr_flags |= IFF_UP | IFF_RUNNING;
  up = up && ioctl(socket_file, SIOCSIFFLAGS, &request) == 0;
  int saved_error = errno;
  close(socket_file);
  errno = saved_error;
  return up;
}

static bool has_mac(int file, const char *name, const uint8_t *mac) {
  struct ifreq request = {0};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  return ioctl(file, SIOCGIFHWADDR, &request) == 0 && memcmp(request.ifr_hwaddr.sa_data, mac, MAC_BYTES) == 0;
}

/* False where no interface has that MAC (yet). */
static bool find(struct link *link, const uint8_t *mac) {
  int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct if_nameindex *all = if_nameindex();
  bool found = false;
  for (struct if_nameindex *one = all; one != NULL && one->if_index != 0 && !found; one++) {
    found = file >= 0 && has_mac(file, one->if_name, mac);
    if (!found) continue;
    link->index = one->if_index;
    snprintf(link->name, sizeof link->name, "%s", one->if_name);
  }
  if (all != NULL) if_freenameindex(all);
  if (file >= 0) close(file);
  return found;
}

/* The kernel announces interfaces; a few looks a second besides, in case an announcement is lost. */
static bool wait_for(struct link *link, const struct bundle *bundle, int stop_file, struct failure *failure) {
  uint64_t deadline_ms = clock_ms() + DEVICE_TIMEOUT_MS;
  struct pollfd files[2] = {
      {.fd = netlink_open(GROUP_LINK), .events = POLLIN},
      {.fd = stop_file, .events = POLLIN},
  };
  int error = 0;
  bool has_said_so = false;
  while (error == 0 && !find(link, bundle->network.mac)) {
    if (!has_said_so) log_info("waiting for the network interface with the MAC %s", bundle->network.mac_text);
    has_said_so = true;
    poll(files, 2, LOOK_INTERVAL_MS);
    char announcement[4096];
    while (files[0].fd >= 0 && recv(files[0].fd, announcement, sizeof announcement, MSG_DONTWAIT) > 0) continue;
    if (files[1].revents != 0) error = EINTR;
    else if (clock_ms() >= deadline_ms) error = ENODEV;
  }
  if (files[0].fd >= 0) close(files[0].fd);
  if (error == 0) return true;
  if (error == EINTR) return fail(failure, STEP, error, "asked to stop while waiting for the network interface");
  return fail(failure, STEP, error, "no interface with the MAC %s appeared within %d s", bundle->network.mac_text,
              DEVICE_TIMEOUT_MS / 1000);
}

/* What routers on the link say is not for this machine: its address and its routes are given. */
static void refuse_router_advertisements(const struct link *link) {
  static const char *const settings[] = {"accept_ra", "autoconf"};
  for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
    char path[96];
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/%s", link->name, settings[i]);
    if (!file_write(path, "0")) log_warning("cannot write %s: %s (errno %d)", path, strerror(errno), errno);
  }
}

static bool raise_link(const struct link *link, uint32_t mtu, struct failure *failure) {
  struct netlink_request request;
  struct link_body body = {.index = (int32_t)link->index, .flags = IFF_UP, .change = IFF_UP};
  netlink_begin(&request, NETLINK_NEW_LINK, 0, &body, sizeof body);
  netlink_add(&request, LINK_MTU, &mtu, sizeof mtu);
  int error = netlink_ask(link->file, &request);
  return error == 0 || fail(failure, STEP, error, "cannot switch %s on with an MTU of %u", link->name, mtu);
}

static bool add_address(const struct link *link, const struct bundle_addresses *given, struct failure *failure) {
  struct netlink_request request;
  struct address_body body = {.family = given->family,
                              .prefix_bits = (uint8_t)(given->size * 8),
                              .flags = given->family == AF_INET6 ? ADDRESS_NO_DAD : 0,
                              .index = link->index};
  netlink_begin(&request, NETLINK_NEW_ADDRESS, FLAG_CREATE | FLAG_EXCLUSIVE, &body, sizeof body);
  netlink_add(&request, ADDRESS_LOCAL, given->address, given->size);
  netlink_add(&request, ADDRESS_PEER, given->address, given->size);
  int error = netlink_ask(link->file, &request);
  return error == 0 || fail(failure, STEP, error, "cannot give %s the address %s", link->name, given->address_text);
}

/* To the gateway itself, or to everything over it. */
static bool add_route(const struct link *link, const struct bundle_addresses *given, bool is_default,
                      struct failure *failure) {
  struct netlink_request request;
  struct route_body body = {.family = given->family,
                            .destination_bits = is_default ? 0 : (uint8_t)(given->size * 8),
                            .table = TABLE_MAIN,
                            .protocol = PROTOCOL_BOOT,
                            .scope = is_default ? 0 : SCOPE_LINK,
                            .type = TYPE_UNICAST,
                            .flags = is_default ? ROUTE_ONLINK : 0};
  netlink_begin(&request, NETLINK_NEW_ROUTE, FLAG_CREATE | FLAG_EXCLUSIVE, &body, sizeof body);
  netlink_add(&request, is_default ? ROUTE_GATEWAY : ROUTE_TO, given->gateway, given->size);
  netlink_add(&request, ROUTE_DEVICE, &link->index, sizeof link->index);
  int error = netlink_ask(link->file, &request);
  return error == 0 || fail(failure, STEP, error, "cannot make the route %s %s on %s",
                            is_default ? "over" : "to", given->gateway_text, link->name);
}

static bool add_addresses(const struct link *link, const struct bundle_addresses *given, struct failure *failure) {
  return add_address(link, given, failure) && add_route(link, given, false, failure) &&
         add_route(link, given, true, failure);
}

bool network_set_up(const struct bundle *bundle, int stop_file, struct failure *failure) {
  struct link link = {.file = -1};
  if (!bundle->network.has_interface) return true;
  if (!wait_for(&link, bundle, stop_file, failure)) return false;
  link.file = netlink_open(0);
  if (link.file < 0) return fail(failure, STEP, errno, "cannot ask the kernel to set up %s", link.name);
  bool has_ipv6 = access("/proc/sys/net/ipv6", F_OK) == 0;
  if (has_ipv6) refuse_router_advertisements(&link);
  else log_info("the kernel has no IPv6, so this machine has no IPv6 address");
  bool done = raise_link(&link, bundle->network.mtu, failure) &&
              add_addresses(&link, &bundle->network.ipv4, failure) &&
              (!has_ipv6 || add_addresses(&link, &bundle->network.ipv6, failure));
  close(link.file);
  return done;
}
