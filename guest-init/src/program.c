/* The order matters: what needs root's rights and the whole file system comes before the change of user. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "environment.h"
#include "file.h"
#include "identity.h"
#include "log.h"
#include "mounts.h"
#include "root.h"
#include "self-kill.h"
#include "terminal.h"
#include "users.h"

/* docker's default: select(2) programs see 1024, those that ask get more. */
#define OPEN_FILES_SOFT 1024
#define OPEN_FILES_HARD 524288
#define CLOSE_RANGE_MARK 4u /* CLOSE_RANGE_CLOEXEC, include/uapi/linux/close_range.h */
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

struct set_up {
  const struct bundle *bundle;
  int files[3]; /* what becomes 0, 1 and 2 */
  int report_file;
  struct user user;
  struct failure failure;
};

static void reset_signals(void) {
  sigset_t none;
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static void report(const struct set_up *set_up, enum process_report_kind kind, int carried_file) {
  struct program_message content = {.kind = kind, .failure = set_up->failure};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec piece = {.iov_base = &content, .iov_len = sizeof content};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
  if (carried_file >= 0) {
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof carried_file);
    memcpy(CMSG_DATA(&control.header), &carried_file, sizeof carried_file);
  }
  sendmsg(set_up->report_file, &message, MSG_NOSIGNAL);
}

static bool make_working_directory(struct set_up *set_up) {
  const char *path = set_up->bundle->process.working_directory;
  if (file_make_directories(path)) return true;
  return fail(&set_up->failure, "make-directory", errno, "cannot make the working directory %s", path);
}

static bool open_standard_files(struct set_up *set_up, int *master) {
  const struct bundle *bundle = set_up->bundle;
  char path[TERMINAL_PATH_BYTES];
  if (!bundle->process.terminal) {
    if (set_up->files[0] < 0) set_up->files[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return set_up->files[0] >= 0 || fail(&set_up->failure, "open-files", errno, "cannot open /dev/null");
  }
  *master = terminal_open(bundle->process.rows, bundle->process.columns, path, &set_up->failure);
  int slave = *master < 0 ? -1 : terminal_take(path, &set_up->failure);
  for (int i = 0; i < 3; i++) set_up->files[i] = slave;
  return slave >= 0;
}

/* The program may open /dev/stdout again: its files belong to its user. /dev/null stays everybody's. */
static bool place_standard_files(struct set_up *set_up) {
  for (int i = 0; i < 3; i++) {
    struct stat status;
    int file = set_up->files[i];
    if (fstat(file, &status) == 0 && (!S_ISCHR(status.st_mode) || set_up->bundle->process.terminal) &&
        fchown(file, set_up->user.uid, (gid_t)-1) < 0)
      return fail(&set_up->failure, "open-files", errno, "cannot give the program its standard files");
  }
  for (int i = 0; i < 3; i++)
    if (dup2(set_up->files[i], i) < 0) return fail(&set_up->failure, "open-files", errno, "cannot place file %d", i);
  syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_MARK); /* all are close-on-exec already: a second lock */
  return true;
}

/* A kernel may allow fewer (fs.nr_open): then its own hard limit stays. */
static void set_limits(void) {
  struct rlimit limit = {.rlim_cur = OPEN_FILES_SOFT, .rlim_max = OPEN_FILES_HARD};
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return;
  log_warning("cannot allow %d open files: %s", OPEN_FILES_HARD, strerror(errno));
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  if (limit.rlim_max > OPEN_FILES_SOFT) limit.rlim_cur = OPEN_FILES_SOFT;
  setrlimit(RLIMIT_NOFILE, &limit);
}

static bool enter_working_directory(struct set_up *set_up) {
  const char *path = set_up->bundle->process.working_directory;
  return chdir(path) == 0 || fail(&set_up->failure, "enter-directory", errno, "cannot enter %s", path);
}

static bool prepare(struct set_up *set_up, int *master) {
  const struct bundle *bundle = set_up->bundle;
  struct failure *failure = &set_up->failure;
  mounts_enter_cgroup();
  return root_enter(failure) && mounts_prepare_program(environment_is_init_system(bundle), failure) &&
         identity_write_files(bundle, failure) &&
         users_find("/etc", bundle->process.user, &bundle->process.groups, &set_up->user, failure) &&
         make_working_directory(set_up) && (bundle->root.has_upper || root_make_read_only(failure)) &&
         open_standard_files(set_up, master) && enter_working_directory(set_up);
}

void program_become(const struct bundle *bundle, int input, int output, int error, int report_file) {
  struct set_up set_up = {.bundle = bundle, .files = {input, output, error}, .report_file = report_file};
  struct string_list environment;
  int master = -1;
  reset_signals();
  umask(022);
  setsid();
  set_limits();
  if (!prepare(&set_up, &master)) goto failed;
  if (!environment_build(bundle, &set_up.user, &environment)) {
    fail(&set_up.failure, "start-program", ENOMEM, "cannot keep the environment");
    goto failed;
  }
  int watch_file = self_kill_watch(); /* needs root's rights */
  if (watch_file >= 0) report(&set_up, PROCESS_WATCHED, watch_file);
  if (!place_standard_files(&set_up) || !users_become(&set_up.user, &set_up.failure)) goto failed;
  report(&set_up, PROCESS_PREPARED, master);
  set_up.failure.error = environment_execute(&bundle->process.arguments, &environment);
  strncpy(set_up.failure.text, bundle->process.arguments.items[0], sizeof set_up.failure.text - 1);
  report(&set_up, PROCESS_NO_PROGRAM, -1);
  _exit(127);
failed:
  report(&set_up, PROCESS_FAILED, -1);
  _exit(127);
}
