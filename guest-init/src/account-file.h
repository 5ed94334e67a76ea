/* Lines of /etc/passwd and /etc/group, one after the other. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct passwd_entry {
  const char *name, *home;
  uint32_t uid, gid;
};

struct group_entry {
  const char *name;
  uint32_t gid;
  char *members; /* separated by commas */
};

/* A whole file in memory; entries point into it. */
struct account_file {
  char *text, *rest;
};

/* Opens the file; one that is missing has no entries. False and errno where it cannot be read. */
bool account_file_open(struct account_file *file, const char *path);
void account_file_close(struct account_file *file);

/* The next well-formed line; false at the end. Lines that are not are passed over. */
bool account_file_next_user(struct account_file *file, struct passwd_entry *entry);
bool account_file_next_group(struct account_file *file, struct group_entry *entry);

/* A decimal number up to 2^32 − 2 (−1 means "no change" to the kernel); false for anything else. */
bool account_parse_id(const char *text, uint32_t *id);

/* Whether the comma-separated list holds the name. */
bool account_list_holds(const char *list, const char *name);
