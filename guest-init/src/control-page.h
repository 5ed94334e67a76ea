/* The first page of the channel's memory (docs/contracts/channel.md, "Control page"). */
#pragma once
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "ring.h"

#define CONTROL_MAGIC 0x31434b42u /* "BKC1" */
#define CONTROL_REFERENCES 768

struct control_page {
  uint32_t magic, version;
  uint32_t to_host_pages, from_host_pages;
  uint32_t guest_live, host_live;
  uint8_t reserved_1[40];
  struct ring_words to_host;   /* "g2h" in the contract */
  struct ring_words from_host; /* "h2g" */
  uint8_t reserved_2[448];
  uint32_t references[CONTROL_REFERENCES];
};

static_assert(offsetof(struct control_page, guest_live) == 16, "control page");
static_assert(offsetof(struct control_page, to_host) == 64, "control page");
static_assert(offsetof(struct control_page, from_host) == 320, "control page");
static_assert(offsetof(struct control_page, references) == 1024, "control page");
static_assert(sizeof(struct control_page) == 4096, "control page");
