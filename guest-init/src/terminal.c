/* pts(4), ioctl_tty(2). */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <termios.h>
#include <unistd.h>

#define STEP "open-terminal"
#define OPEN_PEER 0x5441 /* TIOCGPTPEER, include/uapi/asm-generic/ioctls.h */

static void use_utf8(int master) {
  struct termios settings;
  if (tcgetattr(master, &settings) < 0) return;
  settings.c_iflag |= IUTF8; /* one erase takes one character */
  tcsetattr(master, TCSANOW, &settings);
}

int terminal_open(uint16_t rows, uint16_t columns, char path[TERMINAL_PATH_BYTES], struct failure *failure) {
  int unlock = 0;
  unsigned number;
  int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCGPTN, &number) < 0) {
    fail(failure, STEP, errno, "cannot open a terminal");
    return -1;
  }
  snprintf(path, TERMINAL_PATH_BYTES, "/dev/pts/%u", number);
  terminal_resize(master, rows, columns, 0, 0);
  use_utf8(master);
  /* systemd and others talk to /dev/console; the machine's own is not for the program then. */
  mount(path, "/dev/console", NULL, MS_BIND, NULL);
  return master;
}

int terminal_take(const char *path, struct failure *failure) {
  int slave = open(path, O_RDWR | O_CLOEXEC);
  if (slave >= 0 && ioctl(slave, TIOCSCTTY, 0) == 0) return slave;
  fail(failure, STEP, errno, "cannot take %s as the controlling terminal", path);
  return -1;
}

int terminal_hold(int master) { return ioctl(master, OPEN_PEER, O_RDWR | O_NOCTTY | O_CLOEXEC); }

void terminal_resize(int master, uint16_t rows, uint16_t columns, uint16_t width_pixels, uint16_t height_pixels) {
  struct winsize size = {
      .ws_row = rows, .ws_col = columns, .ws_xpixel = width_pixels, .ws_ypixel = height_pixels};
  ioctl(master, TIOCSWINSZ, &size); /* the kernel tells the program by SIGWINCH */
}

char terminal_end_character(int master) {
  struct termios settings;
  if (tcgetattr(master, &settings) < 0 || (settings.c_lflag & ICANON) == 0) return 0;
  return (char)settings.c_cc[VEOF];
}
