/* Requests of the kernel's routing tables: built attribute by attribute, sent, and answered with an errno
   (rtnetlink(7), netlink(7)). */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* include/uapi/linux/rtnetlink.h */
enum netlink_type { NETLINK_NEW_LINK = 16, NETLINK_NEW_ADDRESS = 20, NETLINK_NEW_ROUTE = 24 };

struct netlink_request {
  _Alignas(4) uint8_t bytes[256];
  size_t length;
};

/* Begins a request with the structure that its type wants (struct ifinfomsg, ifaddrmsg or rtmsg). */
void netlink_begin(struct netlink_request *request, enum netlink_type type, uint16_t more_flags, const void *body,
                   size_t body_length);

void netlink_add(struct netlink_request *request, uint16_t attribute, const void *value, size_t length);

/* Opens a socket for requests, and for the announcements of `groups` (RTMGRP_LINK and its like). -1 and errno. */
int netlink_open(uint32_t groups);

/* Sends the request and takes the kernel's answer: 0, or the errno. */
int netlink_ask(int file, struct netlink_request *request);
