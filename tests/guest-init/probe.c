/* The parts of guest-init that need no machine, one call per line or document, for the tests beside this file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bundle.h"
#include "frame.h"
#include "json.h"
#include "users.h"

static void print_hex(const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) printf("%02x", bytes[i]);
}

static size_t parse_hex(const char *text, uint8_t *out, size_t limit) {
  size_t length = 0;
  unsigned byte;
  while (length < limit && sscanf(text + 2 * length, "%2x", &byte) == 1) out[length++] = (uint8_t)byte;
  return length;
}

/* The line's next word, or "". */
static const char *word(char **line) {
  char *found = strsep(line, " ");
  return found == NULL ? "" : found;
}

static uint64_t number(char **line) { return strtoull(word(line), NULL, 10); }

static uint32_t write_hello(uint8_t *out, char **line) {
  struct frame_stream streams[8];
  uint32_t epoch = (uint32_t)number(line), count = 0;
  while (*line != NULL) {
    struct frame_stream *stream = &streams[count++];
    stream->stream = (uint32_t)number(line);
    stream->direction = number(line) == 0 ? TO_HOST : TO_GUEST;
    stream->offset = number(line);
    stream->limit = number(line);
    stream->ended = number(line) != 0;
  }
  return frame_write_hello(out, epoch, streams, count);
}

static uint32_t write_data(uint8_t *out, char **line) {
  uint32_t stream = (uint32_t)number(line);
  uint64_t offset = number(line);
  uint8_t bytes[64];
  uint32_t length = (uint32_t)parse_hex(word(line), bytes, sizeof bytes);
  frame_write_data_start(out, stream, offset, length);
  memcpy(out + FRAME_HEADER_BYTES + FRAME_OFFSET_BYTES, bytes, length);
  return frame_size(FRAME_OFFSET_BYTES + length);
}

static uint32_t write_failed(uint8_t *out, char **line) {
  struct failure failure = {.error = (int)number(line)};
  snprintf(failure.step, sizeof failure.step, "%s", word(line));
  snprintf(failure.text, sizeof failure.text, "%s", *line);
  return frame_write_failed(out, &failure);
}

static uint32_t write_frame(uint8_t *out, const char *type, char **line) {
  if (strcmp(type, "hello") == 0) return write_hello(out, line);
  if (strcmp(type, "data") == 0) return write_data(out, line);
  if (strcmp(type, "failed") == 0) return write_failed(out, line);
  uint64_t first = number(line);
  if (strcmp(type, "started") == 0) return frame_write_started(out, (uint32_t)first);
  if (strcmp(type, "exec-failed") == 0) return frame_write_exec_failed(out, (int)first, *line);
  uint64_t second = number(line);
  if (strcmp(type, "credit") == 0) return frame_write_credit(out, (uint32_t)first, second);
  if (strcmp(type, "end") == 0) return frame_write_end(out, (uint32_t)first, second);
  if (strcmp(type, "ready") == 0) return frame_write_ready(out, first, second != 0);
  if (strcmp(type, "exited") == 0) return frame_write_exited(out, first != 0, (int)second, number(line) != 0);
  exit(2);
}

static void print_read(const char *hex) {
  static uint8_t bytes[FRAME_HEADER_BYTES + FRAME_LIMIT_BYTES + 8];
  struct frame_header header;
  struct host_frame frame;
  parse_hex(hex, bytes, sizeof bytes);
  frame_read_header(bytes, &header);
  const char *reason = frame_read(&header, bytes + FRAME_HEADER_BYTES, &frame);
  if (reason != NULL) {
    printf("refused: %s\n", reason);
    return;
  }
  printf("type=%d stream=%u epoch=%u offset=%llu limit=%llu rows=%u columns=%u signal=%d group=%d data=", frame.type,
         frame.stream, frame.epoch, (unsigned long long)frame.offset, (unsigned long long)frame.limit, frame.rows,
         frame.columns, frame.signal, frame.whole_group);
  print_hex(frame.data, frame.data_length);
  putchar('\n');
}

static void run_frames(void) {
  char line[65536], *rest;
  while (fgets(line, sizeof line, stdin) != NULL) {
    static uint8_t out[FRAME_LIMIT_BYTES];
    memset(out, 0, sizeof out);
    line[strcspn(line, "\n")] = '\0';
    rest = line;
    const char *type = word(&rest);
    if (strcmp(type, "read") == 0) {
      print_read(word(&rest));
      continue;
    }
    print_hex(out, write_frame(out, type, &rest));
    putchar('\n');
  }
}

/* Documents on standard input, each after its length (u32); a copy of exactly that size, so that the sanitizer
   sees every step beyond it. */
static char *next_document(uint32_t *length) {
  if (fread(length, sizeof *length, 1, stdin) != 1) return NULL;
  char *text = malloc(*length == 0 ? 1 : *length);
  if (text == NULL || fread(text, 1, *length, stdin) != *length) exit(2);
  return text;
}

static void run_json(void) {
  uint32_t length;
  char *text;
  while ((text = next_document(&length)) != NULL) {
    struct json_error error;
    if (json_read(text, length, &error) != NULL) puts("ok");
    else printf("refused: %s\n", error.reason);
    free(text);
  }
}

static void print_list(const char *name, const struct string_list *list) {
  for (size_t i = 0; i < list->count; i++) {
    printf(" %s=", name);
    print_hex((const uint8_t *)list->items[i], strlen(list->items[i]));
  }
}

static void print_addresses(const struct bundle_addresses *addresses) {
  putchar(' ');
  print_hex(addresses->address, addresses->size);
  printf(" over ");
  print_hex(addresses->gateway, addresses->size);
}

static void print_network(const struct bundle *bundle) {
  printf(" network=");
  if (!bundle->network.has_interface) return;
  print_hex(bundle->network.mac, MAC_BYTES);
  printf(" mtu=%u", bundle->network.mtu);
  print_addresses(&bundle->network.ipv4);
  print_addresses(&bundle->network.ipv6);
}

static void print_bundle(const struct bundle *bundle) {
  printf("ok id=%s hostname=%s device=%s filesystem=%s upper=%d size=%llu cwd=%s user=%s terminal=%d stdin=%d rows=%u "
         "columns=%u",
         bundle->id, bundle->hostname, bundle->root.device, bundle->root.filesystem, bundle->root.has_upper,
         (unsigned long long)bundle->root.upper_size_bytes, bundle->process.working_directory, bundle->process.user,
         bundle->process.terminal, bundle->process.has_stdin, bundle->process.rows, bundle->process.columns);
  print_network(bundle);
  print_list("argv", &bundle->process.arguments);
  print_list("env", &bundle->process.environment);
  print_list("group", &bundle->process.groups);
  print_list("server", &bundle->dns.servers);
  print_list("search", &bundle->dns.search);
  print_list("option", &bundle->dns.options);
  for (size_t i = 0; i < bundle->host_count; i++) {
    printf(" host=%s", bundle->hosts[i].address);
    print_list("name", &bundle->hosts[i].names);
  }
  printf(" seed=");
  print_hex(bundle->seed, sizeof bundle->seed);
  putchar('\n');
}

static void run_bundle(void) {
  uint32_t length;
  char *text;
  while ((text = next_document(&length)) != NULL) {
    struct bundle bundle;
    struct failure failure;
    if (bundle_read(text, length, &bundle, &failure)) print_bundle(&bundle);
    else printf("refused: %s: %s\n", failure.step, failure.text);
    free(text);
  }
}

static void run_user(const char *folder, const char *specification, const char **groups, size_t count) {
  struct user user;
  struct failure failure;
  struct string_list list = {.items = groups, .count = count};
  if (!users_find(folder, specification, &list, &user, &failure)) {
    printf("refused: %s: %s\n", failure.step, failure.text);
    return;
  }
  printf("uid=%u gid=%u home=%s groups=", user.uid, user.gid, user.home);
  for (size_t i = 0; i < user.group_count; i++) printf("%s%u", i == 0 ? "" : ",", user.groups[i]);
  putchar('\n');
}

int main(int count, char **arguments) {
  const char *what = count > 1 ? arguments[1] : "";
  if (strcmp(what, "frames") == 0) run_frames();
  else if (strcmp(what, "json") == 0) run_json();
  else if (strcmp(what, "bundle") == 0) run_bundle();
  else if (strcmp(what, "user") == 0 && count > 3)
    run_user(arguments[2], arguments[3], (const char **)(arguments + 4), (size_t)(count - 4));
  else return 2;
  return 0;
}
