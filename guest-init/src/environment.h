/* The program's environment, and the way from its name to a file. */
#pragma once
#include <stdbool.h>

#include "bundle.h"
#include "users.h"

#define ENVIRONMENT_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The value of a variable, or NULL. */
const char *environment_get(const struct string_list *environment, const char *name);

/* The bundle's variables and those that are added where they are missing: PATH, HOME, HOSTNAME, TERM with a
   terminal, and `container` for an init system. Ends in NULL; false where memory is short. */
bool environment_build(const struct bundle *bundle, const struct user *user, struct string_list *environment);

/* Whether the program is an init system (systemd, OpenRC, sysvinit …) and is to find what such a one expects. */
bool environment_is_init_system(const struct bundle *bundle);

/* Replaces this process by the program, looked up in PATH unless its name has a slash. Returns only when that
   fails, with the errno to tell: a file that may not be executed counts more than one that is not there. */
int environment_execute(const struct string_list *arguments, const struct string_list *environment);
