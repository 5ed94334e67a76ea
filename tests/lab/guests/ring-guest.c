/* A guest for the tests of the control channel: announces a ring with guest-init's own code, then does what dom0's
   frames tell it, the forbidden things too. Frame types from 100 on are its own. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "control-page.h"
#include "frame.h"
#include "platform.h"

enum {
  SOURCE = 100, /* u64 bytes, u32 bytes per frame: send them, in `data` frames of the pattern */
  SUMMARY = 101, /* answer: u64 bytes, u64 checksum of the `data` payloads that came */
  ECHO = 102,    /* send the frame back */
  EVIL = 103,    /* u32 which, u32 count */
};
enum { EVIL_PROD, EVIL_CONS, EVIL_LENGTH, EVIL_CUT, EVIL_FLAGS, EVIL_STORM, EVIL_POWER_OFF };

static struct platform_channel channel;
static struct control_page *page;
static struct ring to_host, from_host;
static uint64_t sunk_bytes, sunk_sum;

static void wait_for_event(void) {
  struct pollfd entry = {.fd = channel.event_file, .events = POLLIN};
  poll(&entry, 1, -1);
  platform_take_events(&channel);
}

static void send_bytes(const void *frame, uint32_t size) {
  while (ring_free(&to_host) < (int64_t)size)
    if (!ring_want_space(&to_host, size)) wait_for_event();
  ring_put(&to_host, 0, frame, size);
  if (ring_produced(&to_host, size)) platform_notify(&channel);
}

static void send_frame(uint16_t type, const void *payload, uint32_t length) {
  static uint8_t frame[FRAME_HEADER_BYTES + FRAME_LIMIT_BYTES + 8];
  struct frame_header header = {.length = length, .type = type};
  memset(frame, 0, frame_size(length));
  memcpy(frame, &header, sizeof header);
  memcpy(frame + FRAME_HEADER_BYTES, payload, length);
  send_bytes(frame, frame_size(length));
}

/* The pattern: 64-bit words of a linear congruential generator (Knuth's constants). */
static void send_pattern(uint64_t bytes, uint32_t per_frame) {
  static uint64_t words[FRAME_LIMIT_BYTES / 8];
  uint64_t state = 1;
  while (bytes > 0) {
    uint32_t length = bytes < per_frame ? (uint32_t)bytes : per_frame;
    for (uint32_t i = 0; i < (length + 7) / 8; i++) words[i] = state = state * 6364136223846793005ull + 1442695040888963407ull;
    send_frame(FRAME_DATA, words, length);
    bytes -= length;
  }
}

static void announce(void) {
  struct failure failure;
  page->magic = CONTROL_MAGIC;
  if (!platform_announce(&channel, &failure)) fprintf(stderr, "%s: %s\n", failure.step, failure.text);
}

static void wait_until_let_go(void) {
  while (__atomic_load_n(&page->host_live, __ATOMIC_SEQ_CST) & 0xff) wait_for_event();
}

static void do_evil(uint32_t which, uint32_t count) {
  uint32_t frame[4] = {0};
  switch (which) {
  case EVIL_PROD:
    page->to_host.prod = to_host.own + to_host.size + 8;
    platform_notify(&channel);
    wait_until_let_go();
    page->to_host.prod = to_host.own;
    break;
  case EVIL_CONS:
    page->from_host.cons = from_host.own + 8;
    platform_notify(&channel);
    wait_until_let_go();
    page->from_host.cons = from_host.own;
    break;
  case EVIL_LENGTH: frame[0] = FRAME_LIMIT_BYTES + 1; send_bytes(frame, sizeof frame); break;
  case EVIL_CUT: frame[0] = 64; send_bytes(frame, sizeof frame); break;
  case EVIL_FLAGS: frame[1] = FRAME_DATA | 1u << 16; send_bytes(frame, sizeof frame); break;
  case EVIL_STORM:
    for (uint32_t i = 0; i < count; i++) platform_notify(&channel);
    send_frame(ECHO, "over", 4);
    return;
  case EVIL_POWER_OFF:
    send_frame(ECHO, "last words", 10);
    platform_power_off();
  default: return;
  }
  /* The bad frame stays in the ring where dom0 did not take it: step over it, or every attachment fails. */
  wait_until_let_go();
  page->to_host.cons = to_host.own;
  announce();
}

static void obey(const struct frame_header *header, const uint8_t *payload) {
  uint64_t bytes = 0, summary[2] = {sunk_bytes, sunk_sum};
  uint32_t words[2] = {0};
  switch ((int)header->type) {
  case FRAME_DATA:
    for (uint32_t i = 0; i + 8 <= header->length; i += 8) {
      uint64_t word;
      memcpy(&word, payload + i, 8);
      sunk_sum = (sunk_sum ^ word) * 1099511628211ull;
    }
    sunk_bytes += header->length;
    break;
  case SOURCE:
    memcpy(&bytes, payload, 8);
    memcpy(words, payload + 8, 4);
    send_pattern(bytes, words[0]);
    break;
  case SUMMARY:
    send_frame(SUMMARY, summary, sizeof summary);
    sunk_bytes = 0;
    sunk_sum = 0;
    break;
  case ECHO: send_frame(ECHO, payload, header->length); break;
  case EVIL:
    memcpy(words, payload, 8);
    do_evil(words[0], words[1]);
    break;
  default: break;
  }
}

static void serve(void) {
  static uint8_t frame[FRAME_HEADER_BYTES + FRAME_LIMIT_BYTES + 8];
  for (;;) {
    struct frame_header header;
    while (ring_used(&from_host) == 0)
      if (!ring_want_data(&from_host)) wait_for_event();
    ring_get(&from_host, 0, &header, sizeof header);
    ring_get(&from_host, 0, frame, frame_size(header.length));
    if (ring_consumed(&from_host, frame_size(header.length))) platform_notify(&channel);
    obey(&header, frame + FRAME_HEADER_BYTES);
  }
}

static void load_modules(void) {
  struct dirent **entries;
  int count = scandir("/modules", &entries, NULL, alphasort);
  for (int i = 0; i < count; i++) {
    char path[300];
    snprintf(path, sizeof path, "/modules/%s", entries[i]->d_name);
    int file = open(path, O_RDONLY);
    syscall(SYS_finit_module, file, "", 0);
    close(file);
  }
}

int main(void) {
  struct failure failure;
  mkdir("/proc", 0755);
  mount("proc", "/proc", "proc", 0, "");
  mkdir("/dev", 0755);
  platform_mount_devices("/dev");
  load_modules();
  if (!platform_open_channel(&channel, &failure)) {
    fprintf(stderr, "%s: %s\n", failure.step, failure.text);
    platform_power_off();
  }
  page = (struct control_page *)channel.memory;
  memset(page, 0, PAGE_BYTES);
  page->version = 1;
  page->to_host_pages = TO_HOST_PAGES;
  page->from_host_pages = FROM_HOST_PAGES;
  page->guest_live = 1;
  memcpy(page->references, channel.references + 1, sizeof channel.references - sizeof channel.references[0]);
  to_host = (struct ring){.bytes = channel.memory + PAGE_BYTES, .size = TO_HOST_PAGES * PAGE_BYTES, .words = &page->to_host};
  from_host = (struct ring){.bytes = to_host.bytes + to_host.size, .size = FROM_HOST_PAGES * PAGE_BYTES, .words = &page->from_host};
  announce();
  serve();
}
