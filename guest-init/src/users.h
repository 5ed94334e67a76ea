/* Whom the program runs as: `process.user` and `process.groups`, looked up in the image's own tables. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bundle.h"
#include "failure.h"

#define USERS_GROUP_LIMIT 1024
#define USERS_HOME_BYTES 1024

struct user {
  uint32_t uid, gid;
  uint32_t groups[USERS_GROUP_LIMIT]; /* supplementary, the primary one among them */
  size_t group_count;
  char home[USERS_HOME_BYTES]; /* "/" for a number without an entry */
};

/* Looks `specification` ("", USER, UID, USER:GROUP, UID:GID and mixtures) and the further groups up in
   `folder`/passwd and `folder`/group. Rules as docker's: the first matching entry counts, by name or number; a
   number needs no entry; memberships from the group table count only where no group was named. The step of a
   failure is `find-user`. */
bool users_find(const char *folder, const char *specification, const struct string_list *groups, struct user *user,
                struct failure *failure);

/* Makes the calling process this user, for good. The step of a failure is `become-user`. */
bool users_become(const struct user *user, struct failure *failure);
