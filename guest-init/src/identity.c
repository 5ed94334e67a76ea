/* The contents follow what docker writes. */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

#define STEP "write-identity"

static void write_hostname(FILE *file, const struct bundle *bundle) { fprintf(file, "%s\n", bundle->hostname); }

/* A name with dots comes in full and by its first part. */
static void write_own_names(FILE *file, const char *address, const char *hostname) {
  int first_part = (int)strcspn(hostname, ".");
  fprintf(file, "%s\t%s", address, hostname);
  if (hostname[first_part] != '\0') fprintf(file, " %.*s", first_part, hostname);
  fputc('\n', file);
}

static void write_hosts(FILE *file, const struct bundle *bundle) {
  fputs("127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\n"
        "ff00::0\tip6-mcastprefix\n"
        "ff02::1\tip6-allnodes\n"
        "ff02::2\tip6-allrouters\n",
        file);
  if (bundle->network.has_interface) {
    write_own_names(file, bundle->network.ipv4.address_text, bundle->hostname);
    write_own_names(file, bundle->network.ipv6.address_text, bundle->hostname);
  } else {
    write_own_names(file, "127.0.1.1", bundle->hostname);
  }
  for (size_t i = 0; i < bundle->host_count; i++) {
    fputs(bundle->hosts[i].address, file);
    for (size_t name = 0; name < bundle->hosts[i].names.count; name++)
      fprintf(file, "%c%s", name == 0 ? '\t' : ' ', bundle->hosts[i].names.items[name]);
    fputc('\n', file);
  }
}

static void write_words(FILE *file, const char *key, const struct string_list *words) {
  if (words->count == 0) return;
  fputs(key, file);
  for (size_t i = 0; i < words->count; i++) fprintf(file, " %s", words->items[i]);
  fputc('\n', file);
}

static void write_resolver(FILE *file, const struct bundle *bundle) {
  for (size_t i = 0; i < bundle->dns.servers.count; i++)
    fprintf(file, "nameserver %s\n", bundle->dns.servers.items[i]);
  write_words(file, "search", &bundle->dns.search);
  write_words(file, "options", &bundle->dns.options);
}

/* Takes away what is no regular file (a link would be written through). */
static bool make_room(const char *path) {
  struct stat status;
  if (lstat(path, &status) < 0) return errno == ENOENT;
  return S_ISREG(status.st_mode) || unlink(path) == 0;
}

static bool write_file(const char *path, void (*write_content)(FILE *, const struct bundle *),
                       const struct bundle *bundle, struct failure *failure) {
  int descriptor = -1;
  if (make_room(path)) descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
  FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
  if (file == NULL) return fail(failure, STEP, errno, "cannot write %s", path);
  write_content(file, bundle);
  if (fclose(file) != 0) return fail(failure, STEP, errno, "cannot write %s", path);
  return true;
}

bool identity_write_files(const struct bundle *bundle, struct failure *failure) {
  if (!file_make_directories("/etc")) return fail(failure, STEP, errno, "cannot make /etc");
  return write_file("/etc/hostname", write_hostname, bundle, failure) &&
         write_file("/etc/hosts", write_hosts, bundle, failure) &&
         (bundle->dns.servers.count == 0 || write_file("/etc/resolv.conf", write_resolver, bundle, failure));
}
