/* The launch bundle: what this machine is to run (docs/contracts/bundle.md, version 1). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "failure.h"

#define BUNDLE_PATH "/bulkhead/bundle.json"
#define BUNDLE_SEED_BYTES 64

/* Strings, ended by a NULL as execve(2) wants it. */
struct string_list {
  const char **items;
  size_t count;
};

struct host_line {
  const char *address;
  struct string_list names;
};

#define MAC_BYTES 6

/* What an interface has of one family. */
struct bundle_addresses {
  uint8_t family; /* AF_INET, AF_INET6 */
  size_t size;    /* bytes of an address: 4, 16 */
  const char *address_text, *gateway_text;
  uint8_t address[16], gateway[16];
};

struct bundle {
  const char *id, *hostname;
  struct {
    const char *device, *filesystem;
    bool has_upper;            /* false: the root is read-only */
    uint64_t upper_size_bytes; /* 0: half of memory */
  } root;
  struct {
    struct string_list arguments, environment, groups;
    const char *working_directory, *user;
    bool terminal, has_stdin;
    uint16_t rows, columns;
  } process;
  struct {
    bool has_interface; /* false: only `lo` */
    const char *mac_text;
    uint8_t mac[MAC_BYTES];
    uint32_t mtu;
    struct bundle_addresses ipv4, ipv6;
  } network;
  struct {
    struct string_list servers, search, options;
  } dns;
  struct host_line *hosts;
  size_t host_count;
  bool has_seed;
  uint8_t seed[BUNDLE_SEED_BYTES];
};

/* Reads the bundle of `path` into `bundle`; its strings live as long as the process. The failure's step is
   `read-bundle`; its text names the key. */
bool bundle_read_file(const char *path, struct bundle *bundle, struct failure *failure);

/* The same from memory; the text is used up. */
bool bundle_read(char *text, size_t length, struct bundle *bundle, struct failure *failure);
