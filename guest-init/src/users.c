/* Semantics: opencontainers/runc libcontainer/user GetExecUser, as docker documents them for --user. */
#include "users.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "account-file.h"

#define STEP "find-user"
#define NAME_LIMIT 256

/* What the specification says, and the entry that matched. */
struct search {
  const char *folder;
  char user[NAME_LIMIT], group[NAME_LIMIT];
  char matched_name[NAME_LIMIT];
  struct user *result;
  struct failure *failure;
};

static bool matches(const char *wanted, const char *name, uint32_t id) {
  char number[16];
  snprintf(number, sizeof number, "%u", id);
  return strcmp(wanted, name) == 0 || strcmp(wanted, number) == 0;
}

static bool open_table(const struct search *search, const char *name, struct account_file *file) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", search->folder, name);
  return account_file_open(file, path) || fail(search->failure, STEP, errno, "cannot read %s", path);
}

static bool add_group(const struct search *search, uint32_t gid) {
  struct user *user = search->result;
  for (size_t i = 0; i < user->group_count; i++)
    if (user->groups[i] == gid) return true;
  if (user->group_count == USERS_GROUP_LIMIT)
    return fail(search->failure, STEP, 0, "more than %d supplementary groups", USERS_GROUP_LIMIT);
  user->groups[user->group_count++] = gid;
  return true;
}

static bool split(struct search *search, const char *specification) {
  size_t user_length = strcspn(specification, ":");
  const char *group = specification[user_length] == ':' ? specification + user_length + 1 : "";
  if (user_length >= NAME_LIMIT || strlen(group) >= NAME_LIMIT)
    return fail(search->failure, STEP, 0, "the user's name is too long");
  memcpy(search->user, user_length == 0 ? "0" : specification, user_length == 0 ? 1 : user_length);
  strcpy(search->group, group);
  return true;
}

static bool find_user(struct search *search) {
  struct account_file table;
  struct passwd_entry entry;
  bool found = false;
  if (!open_table(search, "passwd", &table)) return false;
  while (!found && account_file_next_user(&table, &entry)) found = matches(search->user, entry.name, entry.uid);
  if (found) {
    search->result->uid = entry.uid;
    search->result->gid = entry.gid;
    snprintf(search->matched_name, sizeof search->matched_name, "%s", entry.name);
    if (entry.home[0] != '\0') snprintf(search->result->home, sizeof search->result->home, "%s", entry.home);
  } else {
    found = account_parse_id(search->user, &search->result->uid);
  }
  account_file_close(&table);
  return found || fail(search->failure, STEP, 0, "the image has no user %s", search->user);
}

/* The group's number, by the table or as it stands. */
static bool find_group(const struct search *search, const char *wanted, uint32_t *gid) {
  struct account_file table;
  struct group_entry entry;
  bool found = false;
  if (!open_table(search, "group", &table)) return false;
  while (!found && account_file_next_group(&table, &entry)) found = matches(wanted, entry.name, entry.gid);
  if (found) *gid = entry.gid;
  else found = account_parse_id(wanted, gid);
  account_file_close(&table);
  return found || fail(search->failure, STEP, 0, "the image has no group %s", wanted);
}

static bool add_memberships(const struct search *search) {
  struct account_file table;
  struct group_entry entry;
  bool added = true;
  if (!open_table(search, "group", &table)) return false;
  while (added && account_file_next_group(&table, &entry))
    if (account_list_holds(entry.members, search->matched_name)) added = add_group(search, entry.gid);
  account_file_close(&table);
  return added;
}

bool users_find(const char *folder, const char *specification, const struct string_list *groups, struct user *user,
                struct failure *failure) {
  struct search search = {.folder = folder, .result = user, .failure = failure};
  *user = (struct user){.home = "/"};
  if (!split(&search, specification) || !find_user(&search)) return false;
  bool group_named = search.group[0] != '\0';
  if (group_named && !find_group(&search, search.group, &user->gid)) return false;
  if (!add_group(&search, user->gid)) return false;
  if (!group_named && !add_memberships(&search)) return false;
  for (size_t i = 0; i < groups->count; i++) {
    uint32_t gid;
    if (!find_group(&search, groups->items[i], &gid) || !add_group(&search, gid)) return false;
  }
  return true;
}

bool users_become(const struct user *user, struct failure *failure) {
  gid_t groups[USERS_GROUP_LIMIT];
  for (size_t i = 0; i < user->group_count; i++) groups[i] = user->groups[i];
  if (setgroups(user->group_count, groups) == 0 && setresgid(user->gid, user->gid, user->gid) == 0 &&
      setresuid(user->uid, user->uid, user->uid) == 0)
    return true;
  return fail(failure, "become-user", errno, "cannot become user %u and group %u", user->uid, user->gid);
}
