/* One small buffer for both outputs: the console is slow, and a full one must not make PID 1 wait. */
#include "console-copy.h"

#include <errno.h>
#include <unistd.h>

/* False while the console takes nothing. */
static bool write_out(struct console_copy *console) {
  while (console->length > 0 && console->file >= 0) {
    ssize_t count = write(console->file, console->bytes + console->start, console->length);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (count < 0) break; /* a broken console swallows the bytes */
    console->start += (uint32_t)count;
    console->length -= (uint32_t)count;
  }
  console->start = console->length = 0;
  return true;
}

void console_copy_pump(struct console_copy *console, struct output *output) {
  if (output->file < 0 || output->state == OUTPUT_AT_END) return;
  while (write_out(console)) {
    ssize_t count = read(output->file, console->bytes, sizeof console->bytes);
    if (count > 0) {
      console->length = (uint32_t)count;
      output->offset += (uint64_t)count;
      continue;
    }
    bool empty = count < 0 && (errno == EAGAIN || errno == EINTR);
    output->state = empty ? OUTPUT_WAITS_FOR_PROGRAM : OUTPUT_AT_END;
    return;
  }
  output->state = OUTPUT_WAITS_FOR_ROOM;
}
