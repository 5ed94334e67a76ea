/* Look-up as execvp(3) does it, without its fall-back to /bin/sh: a file in a wrong format is an error. */
#include "environment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ADDED_LIMIT 5

const char *environment_get(const struct string_list *environment, const char *name) {
  size_t length = strlen(name);
  for (size_t i = 0; i < environment->count; i++)
    if (strncmp(environment->items[i], name, length) == 0 && environment->items[i][length] == '=')
      return environment->items[i] + length + 1;
  return NULL;
}

bool environment_is_init_system(const struct bundle *bundle) {
  static const char *const names[] = {"/sbin/init", "/usr/sbin/init", "/bin/systemd", "/usr/bin/systemd",
                                      "/lib/systemd/systemd", "/usr/lib/systemd/systemd", "/sbin/openrc-init"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp(bundle->process.arguments.items[0], names[i]) == 0) return true;
  return false;
}

static bool add_missing(struct string_list *environment, const char *name, const char *value) {
  if (environment_get(environment, name) != NULL) return true;
  size_t size = strlen(name) + strlen(value) + 2;
  char *variable = malloc(size);
  if (variable == NULL) return false;
  snprintf(variable, size, "%s=%s", name, value);
  environment->items[environment->count++] = variable;
  return true;
}

bool environment_build(const struct bundle *bundle, const struct user *user, struct string_list *environment) {
  const struct string_list *given = &bundle->process.environment;
  environment->count = given->count;
  environment->items = calloc(given->count + ADDED_LIMIT + 1, sizeof *environment->items);
  if (environment->items == NULL) return false;
  memcpy(environment->items, given->items, given->count * sizeof *given->items);
  return add_missing(environment, "PATH", ENVIRONMENT_DEFAULT_PATH) && add_missing(environment, "HOME", user->home) &&
         add_missing(environment, "HOSTNAME", bundle->hostname) &&
         (!bundle->process.terminal || add_missing(environment, "TERM", "xterm")) &&
         (!environment_is_init_system(bundle) || add_missing(environment, "container", "oci"));
}

/* execve(2) does not write to the strings; its prototype is older than const. */
static int execute(const char *path, const struct string_list *arguments, const struct string_list *environment) {
  execve(path, (char *const *)(uintptr_t)arguments->items, (char *const *)(uintptr_t)environment->items);
  return errno;
}

int environment_execute(const struct string_list *arguments, const struct string_list *environment) {
  const char *name = arguments->items[0], *path = environment_get(environment, "PATH");
  if (strchr(name, '/') != NULL) return execute(name, arguments, environment);
  int result = ENOENT;
  while (name[0] != '\0' && path != NULL) {
    char candidate[4096];
    size_t length = strcspn(path, ":");
    int written = snprintf(candidate, sizeof candidate, "%.*s%s%s", (int)length, path, length == 0 ? "" : "/", name);
    int error = (size_t)written < sizeof candidate ? execute(candidate, arguments, environment) : ENAMETOOLONG;
    if (error == EACCES) result = error;
    else if (error != ENOENT && error != ENOTDIR && error != ENAMETOOLONG) return error;
    path = path[length] == ':' ? path + length + 1 : NULL;
  }
  return result;
}
