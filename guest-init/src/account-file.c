/* passwd(5) and group(5). */
#include "account-file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"

#define LIMIT_BYTES (16u << 20)
#define FIELD_LIMIT 7

bool account_file_open(struct account_file *file, const char *path) {
  size_t length;
  file->text = file->rest = file_read(path, LIMIT_BYTES, &length);
  return file->text != NULL || errno == ENOENT || errno == ENOTDIR;
}

void account_file_close(struct account_file *file) {
  free(file->text);
  file->text = file->rest = NULL;
}

/* Splits the next line at its colons; false at the end of the file. */
static bool next_fields(struct account_file *file, char *fields[FIELD_LIMIT], size_t *count) {
  char *line = strsep(&file->rest, "\n");
  if (line == NULL) return false;
  *count = 0;
  while (line != NULL && *count < FIELD_LIMIT) fields[(*count)++] = strsep(&line, ":");
  return true;
}

bool account_parse_id(const char *text, uint32_t *id) {
  uint64_t value = 0;
  if (*text == '\0') return false;
  for (; *text != '\0'; text++) {
    if (*text < '0' || *text > '9') return false;
    value = value * 10 + (uint64_t)(*text - '0');
    if (value >= UINT32_MAX) return false;
  }
  *id = (uint32_t)value;
  return true;
}

bool account_file_next_user(struct account_file *file, struct passwd_entry *entry) {
  char *fields[FIELD_LIMIT];
  size_t count;
  while (next_fields(file, fields, &count)) {
    if (count < 4 || !account_parse_id(fields[2], &entry->uid) || !account_parse_id(fields[3], &entry->gid)) continue;
    entry->name = fields[0];
    entry->home = count > 5 ? fields[5] : "";
    return true;
  }
  return false;
}

bool account_file_next_group(struct account_file *file, struct group_entry *entry) {
  static char no_members[] = "";
  char *fields[FIELD_LIMIT];
  size_t count;
  while (next_fields(file, fields, &count)) {
    if (count < 3 || !account_parse_id(fields[2], &entry->gid)) continue;
    entry->name = fields[0];
    entry->members = count > 3 ? fields[3] : no_members;
    return true;
  }
  return false;
}

bool account_list_holds(const char *list, const char *name) {
  size_t length = strlen(name);
  while (length > 0) {
    size_t item_length = strcspn(list, ",");
    if (item_length == length && memcmp(list, name, length) == 0) return true;
    if (list[item_length] == '\0') break;
    list += item_length + 1;
  }
  return false;
}
