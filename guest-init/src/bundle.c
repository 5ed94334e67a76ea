/* From JSON to the struct; every key's type and range is checked here and trusted afterwards. */
#include "bundle.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base64.h"
#include "file.h"
#include "json.h"

#define STEP "read-bundle"
#define HOSTNAME_LIMIT 64 /* __NEW_UTS_LEN, include/uapi/linux/utsname.h */
#define MTU_MINIMUM 1280  /* RFC 8200 section 5 */
#define MTU_LIMIT 65521   /* with an Ethernet header, what fits into one frame of xen-netfront */

/* Where reading goes on: the object, the name of its key in words, and where a failure is told. */
struct scope {
  const struct json_value *object;
  const char *name; /* "", "root.", "process." */
  struct failure *failure;
};

static const struct json_value absent = {.kind = JSON_NULL};

static bool wrong(const struct scope *scope, const char *key, const char *wanted) {
  return fail(scope->failure, STEP, 0, "%s%s is not %s", scope->name, key, wanted);
}

static const struct json_value *member(const struct scope *scope, const char *key) {
  const struct json_value *value = json_member(scope->object, key);
  return value == NULL ? &absent : value;
}

static bool read_string(const struct scope *scope, const char *key, const char **result) {
  const struct json_value *value = member(scope, key);
  if (value->kind != JSON_STRING) return wrong(scope, key, "a string");
  *result = value->string;
  return true;
}

/* A string without white space, as it must be in a line of a configuration file. */
static bool is_word(const char *text) {
  if (*text == '\0') return false;
  for (; *text != '\0'; text++)
    if (isspace((unsigned char)*text) || iscntrl((unsigned char)*text)) return false;
  return true;
}

static bool collect_strings(const struct json_value *value, struct string_list *list) {
  if (value->kind != JSON_ARRAY) return false;
  list->items = calloc(value->count + 1, sizeof *list->items);
  if (list->items == NULL) return false;
  for (const struct json_value *item = value->first; item != NULL; item = item->next) {
    if (item->kind != JSON_STRING) return false;
    list->items[list->count++] = item->string;
  }
  return true;
}

static bool read_strings(const struct scope *scope, const char *key, struct string_list *list) {
  return collect_strings(member(scope, key), list) || wrong(scope, key, "an array of strings");
}

static bool read_words(const struct scope *scope, const char *key, struct string_list *list) {
  if (!read_strings(scope, key, list)) return false;
  for (size_t i = 0; i < list->count; i++)
    if (!is_word(list->items[i])) return wrong(scope, key, "an array of words");
  return true;
}

static bool read_boolean(const struct scope *scope, const char *key, bool *result) {
  const struct json_value *value = member(scope, key);
  if (value->kind != JSON_BOOLEAN) return wrong(scope, key, "true or false");
  *result = value->boolean;
  return true;
}

static bool read_size(const struct scope *scope, const char *key, int64_t limit, int64_t *result) {
  const struct json_value *value = member(scope, key);
  if (value->kind != JSON_NUMBER || !value->is_integer || value->integer < 0 || value->integer > limit)
    return wrong(scope, key, "a whole number in range");
  *result = value->integer;
  return true;
}

static bool enter(const struct scope *scope, const char *key, const char *name, struct scope *inner) {
  *inner = (struct scope){.object = member(scope, key), .name = name, .failure = scope->failure};
  return inner->object->kind == JSON_OBJECT || wrong(scope, key, "an object");
}

static bool read_root(const struct scope *document, struct bundle *bundle) {
  struct scope root, upper;
  const char *kind;
  int64_t size = 0;
  if (!enter(document, "root", "root.", &root) || !read_string(&root, "device", &bundle->root.device) ||
      !read_string(&root, "filesystem", &bundle->root.filesystem) ||
      !enter(&root, "upper", "root.upper.", &upper) || !read_string(&upper, "kind", &kind))
    return false;
  if (strncmp(bundle->root.device, "/dev/", 5) != 0) return wrong(&root, "device", "a path below /dev");
  if (strcmp(bundle->root.filesystem, "squashfs") != 0 && strcmp(bundle->root.filesystem, "erofs") != 0)
    return wrong(&root, "filesystem", "squashfs or erofs");
  bundle->root.has_upper = strcmp(kind, "tmpfs") == 0;
  if (!bundle->root.has_upper && strcmp(kind, "none") != 0) return wrong(&upper, "kind", "tmpfs or none");
  if (bundle->root.has_upper && !read_size(&upper, "sizeBytes", INT64_MAX, &size)) return false;
  bundle->root.upper_size_bytes = (uint64_t)size;
  return true;
}

static bool read_environment(const struct scope *process, struct bundle *bundle) {
  struct string_list *environment = &bundle->process.environment;
  if (!read_strings(process, "env", environment)) return false;
  for (size_t i = 0; i < environment->count; i++) {
    const char *equals = strchr(environment->items[i], '=');
    if (equals == NULL || equals == environment->items[i]) return wrong(process, "env", "NAME=VALUE throughout");
  }
  return true;
}

static bool read_process(const struct scope *document, struct bundle *bundle) {
  struct scope process;
  int64_t rows, columns;
  if (!enter(document, "process", "process.", &process) ||
      !read_strings(&process, "argv", &bundle->process.arguments) || !read_environment(&process, bundle) ||
      !read_string(&process, "cwd", &bundle->process.working_directory) ||
      !read_string(&process, "user", &bundle->process.user) ||
      !read_strings(&process, "groups", &bundle->process.groups) ||
      !read_boolean(&process, "terminal", &bundle->process.terminal) ||
      !read_boolean(&process, "stdin", &bundle->process.has_stdin) ||
      !read_size(&process, "rows", UINT16_MAX, &rows) || !read_size(&process, "columns", UINT16_MAX, &columns))
    return false;
  if (bundle->process.arguments.count == 0) return wrong(&process, "argv", "filled");
  if (bundle->process.working_directory[0] != '/') return wrong(&process, "cwd", "an absolute path");
  bundle->process.rows = (uint16_t)rows;
  bundle->process.columns = (uint16_t)columns;
  return true;
}

/* "00:16:3e:01:02:03" */
static bool read_mac(const struct scope *network, struct bundle *bundle) {
  const char *text;
  if (!read_string(network, "mac", &text)) return false;
  bool is_mac = strlen(text) == MAC_BYTES * 3 - 1;
  for (size_t i = 0; is_mac && i < MAC_BYTES; i++) {
    const char *pair = text + i * 3;
    is_mac = isxdigit((unsigned char)pair[0]) && isxdigit((unsigned char)pair[1]) &&
             pair[2] == (i == MAC_BYTES - 1 ? '\0' : ':');
    if (is_mac) bundle->network.mac[i] = (uint8_t)strtoul(pair, NULL, 16);
  }
  bundle->network.mac_text = text;
  return is_mac || wrong(network, "mac", "six bytes in hexadecimal");
}

static bool read_addresses(const struct scope *network, const char *key, const char *name, uint8_t family,
                           struct bundle_addresses *addresses) {
  struct scope scope;
  addresses->family = family;
  addresses->size = family == AF_INET ? 4 : 16;
  if (!enter(network, key, name, &scope) || !read_string(&scope, "address", &addresses->address_text) ||
      !read_string(&scope, "gateway", &addresses->gateway_text))
    return false;
  if (inet_pton(family, addresses->address_text, addresses->address) != 1)
    return wrong(&scope, "address", "an address");
  return inet_pton(family, addresses->gateway_text, addresses->gateway) == 1 ||
         wrong(&scope, "gateway", "an address");
}

static bool read_network(const struct scope *document, struct bundle *bundle) {
  struct scope network;
  const char *kind;
  int64_t mtu;
  if (!enter(document, "network", "network.", &network) || !read_string(&network, "kind", &kind)) return false;
  if (strcmp(kind, "none") == 0) return true;
  if (strcmp(kind, "static") != 0) return wrong(&network, "kind", "none or static");
  if (!read_mac(&network, bundle) || !read_size(&network, "mtu", MTU_LIMIT, &mtu) ||
      !read_addresses(&network, "ipv4", "network.ipv4.", AF_INET, &bundle->network.ipv4) ||
      !read_addresses(&network, "ipv6", "network.ipv6.", AF_INET6, &bundle->network.ipv6))
    return false;
  if (mtu < MTU_MINIMUM) return wrong(&network, "mtu", "what IPv6 needs at least");
  bundle->network.mtu = (uint32_t)mtu;
  bundle->network.has_interface = true;
  return true;
}

static bool read_dns(const struct scope *document, struct bundle *bundle) {
  struct scope dns;
  return enter(document, "dns", "dns.", &dns) && read_words(&dns, "servers", &bundle->dns.servers) &&
         read_words(&dns, "search", &bundle->dns.search) && read_words(&dns, "options", &bundle->dns.options);
}

static bool read_hosts(const struct scope *document, struct bundle *bundle) {
  const struct json_value *hosts = member(document, "hosts");
  if (hosts->kind != JSON_ARRAY) return wrong(document, "hosts", "an array");
  bundle->hosts = calloc(hosts->count + 1, sizeof *bundle->hosts);
  if (bundle->hosts == NULL) return fail(document->failure, STEP, ENOMEM, "cannot keep the hosts");
  for (const struct json_value *item = hosts->first; item != NULL; item = item->next) {
    struct scope line = {.object = item, .name = "hosts.", .failure = document->failure};
    struct host_line *host = &bundle->hosts[bundle->host_count++];
    if (item->kind != JSON_OBJECT) return wrong(document, "hosts", "an array of objects");
    if (!read_string(&line, "address", &host->address) || !read_words(&line, "names", &host->names)) return false;
    if (!is_word(host->address)) return wrong(&line, "address", "a word");
  }
  return true;
}

static bool read_identity(const struct scope *document, struct bundle *bundle) {
  const char *seed;
  if (!read_string(document, "id", &bundle->id) || !read_string(document, "hostname", &bundle->hostname) ||
      !read_string(document, "seed", &seed))
    return false;
  if (strlen(bundle->id) != 64 || strspn(bundle->id, "0123456789abcdef") != 64)
    return wrong(document, "id", "64 hexadecimal digits");
  if (!is_word(bundle->hostname) || strlen(bundle->hostname) > HOSTNAME_LIMIT)
    return wrong(document, "hostname", "a host name");
  bundle->has_seed = base64_decode(seed, bundle->seed, sizeof bundle->seed);
  return bundle->has_seed || wrong(document, "seed", "64 bytes in base64");
}

bool bundle_read(char *text, size_t length, struct bundle *bundle, struct failure *failure) {
  struct json_error error;
  *bundle = (struct bundle){0};
  const struct json_value *value = json_read(text, length, &error);
  if (value == NULL) return fail(failure, STEP, 0, "%s at byte %zu", error.reason, error.offset);
  struct scope document = {.object = value, .name = "", .failure = failure};
  if (value->kind != JSON_OBJECT) return fail(failure, STEP, 0, "the document is not an object");
  const struct json_value *version = member(&document, "version");
  if (version->kind != JSON_NUMBER || !version->is_integer || version->integer != 1)
    return wrong(&document, "version", "1");
  return read_identity(&document, bundle) && read_root(&document, bundle) && read_process(&document, bundle) &&
         read_network(&document, bundle) && read_dns(&document, bundle) && read_hosts(&document, bundle);
}

bool bundle_read_file(const char *path, struct bundle *bundle, struct failure *failure) {
  size_t length;
  char *text = file_read(path, JSON_LIMIT_BYTES, &length);
  if (text == NULL) return fail(failure, STEP, errno, "%s", path);
  return bundle_read(text, length, bundle, failure);
}
