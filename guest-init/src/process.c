/* guest-init's side of the program's start: pipes, clone(2), and the reports of the child. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "program.h"

#define STEP "start-program"

/* Two ends of each pipe: [0] is read from, [1] written to. */
struct pipes {
  int input[2], output[2], error[2], report[2];
};

static bool open_pipes(const struct bundle *bundle, struct pipes *pipes) {
  memset(pipes, 0xff, sizeof *pipes); /* every end −1 */
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pipes->report) < 0) return false;
  if (bundle->process.terminal) return true;
  if (bundle->process.has_stdin && pipe2(pipes->input, O_CLOEXEC) < 0) return false;
  return pipe2(pipes->output, O_CLOEXEC) == 0 && pipe2(pipes->error, O_CLOEXEC) == 0;
}

static void close_end(int file) {
  if (file >= 0) close(file);
}

/* Our end must never make PID 1 wait; the program's end stays an ordinary blocking one. */
static int keep_end(int file) {
  if (file >= 0) fcntl(file, F_SETFL, fcntl(file, F_GETFL) | O_NONBLOCK);
  return file;
}

bool process_start(const struct bundle *bundle, struct process *process, struct failure *failure) {
  struct pipes pipes;
  if (!open_pipes(bundle, &pipes)) return fail(failure, STEP, errno, "cannot make the program's pipes");
  long pid = syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid < 0) return fail(failure, STEP, errno, "cannot make the program's namespaces");
  if (pid == 0) {
    close_end(pipes.report[0]);
    close_end(pipes.input[1]);
    program_become(bundle, pipes.input[0], pipes.output[1], pipes.error[1], pipes.report[1]);
  }
  close_end(pipes.report[1]);
  close_end(pipes.input[0]);
  close_end(pipes.output[1]);
  close_end(pipes.error[1]);
  *process = (struct process){
      .pid = (pid_t)pid,
      .report_file = pipes.report[0],
      .kill_file = -1,
      .input_file = keep_end(pipes.input[1]),
      .output_file = keep_end(pipes.output[0]),
      .error_file = keep_end(pipes.error[0]),
  };
  return true;
}

/* The file a message carries, or −1. */
static int carried_file(struct msghdr *message) {
  struct cmsghdr *control = CMSG_FIRSTHDR(message);
  int file = -1;
  if (control != NULL && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS)
    memcpy(&file, CMSG_DATA(control), sizeof file);
  return file;
}

struct process_report process_read_report(struct process *process) {
  struct program_message content = {0};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec piece = {.iov_base = &content, .iov_len = sizeof content};
  struct msghdr message = {
      .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct process_report report = {.kind = PROCESS_NOTHING, .terminal = -1};
  if (process->report_file < 0) return report;
  ssize_t length = recvmsg(process->report_file, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return report;
  report.kind = length == (ssize_t)sizeof content ? content.kind : PROCESS_STARTED;
  report.failure = content.failure;
  int file = keep_end(carried_file(&message));
  if (report.kind == PROCESS_WATCHED) {
    process->kill_file = file;
    return report;
  }
  report.terminal = file;
  if (report.kind != PROCESS_PREPARED) {
    close(process->report_file);
    process->report_file = -1;
  }
  return report;
}

void process_signal(const struct process *process, int signal_number, bool whole_group) {
  if (process->pid > 0) kill(whole_group ? -process->pid : process->pid, signal_number);
}
