/* guest-init, PID 1 of a Bulkhead guest: sets the machine up, runs one program, tells the host how it ended and
   powers off. The order of work is boot() below; README.md tells it in words. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "crash.h"
#include "entropy.h"
#include "initrd.h"
#include "log.h"
#include "machine.h"
#include "modules.h"
#include "mounts.h"
#include "network.h"
#include "platform.h"
#include "root.h"

static struct machine machine;

/* A file that is readable while one of two signals waits. */
static int open_signals(int first, int second) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, first);
  sigaddset(&set, second);
  sigprocmask(SIG_BLOCK, &set, NULL);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The kernel opens no console for PID 1 when the initrd has no /dev/console. */
static void fill_standard_files(void) {
  int file;
  while ((file = open("/dev/null", O_RDWR)) >= 0 && file <= STDERR_FILENO) continue;
  if (file > STDERR_FILENO) close(file);
}

static void warn(const char *what) { log_warning("%s: %s (errno %d)", what, strerror(errno), errno); }

/* What a guest can live without. */
static void set_machine_up(const struct bundle *bundle) {
  if (sethostname(bundle->hostname, strlen(bundle->hostname)) < 0) warn("cannot set the host name");
  if (bundle->has_seed && !entropy_add(bundle->seed, sizeof bundle->seed)) warn("cannot seed the random numbers");
  if (!network_bring_up_loopback()) warn("cannot bring up the loopback interface");
}

/* As soon as its modules are there: the block device's module waits for the host's side of the device, and the host
   can attach to the channel meanwhile. */
static void open_channel_when_possible(void) {
  struct failure failure;
  if (machine.channel.is_open || !platform_has_channel()) return;
  if (!channel_open(&machine.channel, &failure)) log_failure(&failure);
}

/* Everything up to the program. A failure is told by the caller: the channel may be there by then. */
static bool boot(struct failure *failure) {
  struct failure no_channel;
  if (!mounts_prepare_machine(failure)) return false;
  fill_standard_files();
  log_open();
  signal(SIGPIPE, SIG_IGN); /* an errno of write(2) for us */
  machine.child_file = open_signals(SIGCHLD, SIGCHLD);
  machine.stop_file = open_signals(SIGTERM, SIGINT); /* /sbin/poweroff, Ctrl-Alt-Del */
  machine.console.file = platform_open_console();
  bool has_bundle = bundle_read_file(BUNDLE_PATH, &machine.bundle, failure);
  if (has_bundle) set_machine_up(&machine.bundle);
  modules_load(MODULES_PATH, open_channel_when_possible);
  initrd_clear();
  if (!machine.channel.is_open && !channel_open(&machine.channel, &no_channel)) log_failure(&no_channel);
  if (!has_bundle || !root_mount(&machine.bundle, machine.stop_file, failure)) return false;
  if (!network_set_up(&machine.bundle, machine.stop_file, failure)) return false;
  log_info("the machine is ready, %s comes next", machine.bundle.process.arguments.items[0]);
  platform_settle();
  if (!process_start(&machine.bundle, &machine.process, failure)) return false;
  machine_open_streams(&machine);
  return true;
}

static _Noreturn void power_off(void) {
  kill(-1, SIGKILL); /* what was started beside the program */
  sync();
  root_unmount();
  platform_power_off();
}

int main(void) {
  struct failure failure;
  /* As /sbin/poweroff or /sbin/reboot: the kernel passes the hypervisor's wish on. */
  if (getpid() != 1) return kill(1, SIGTERM) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
  machine_begin(&machine);
  platform_begin();
  crash_catch();
  if (!boot(&failure)) machine_fail(&machine, &failure);
  machine_run(&machine);
  power_off();
}
