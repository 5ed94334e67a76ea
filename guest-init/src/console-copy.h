/* Without a control channel the program's output goes to the machine's console, so that it is not lost. */
#pragma once
#include <stdint.h>

#include "output.h"

struct console_copy {
  int file; /* non-blocking; -1: there is no console, bytes are dropped */
  uint32_t start, length; /* of what waits in `bytes` */
  uint8_t bytes[1024];
};

/* Moves bytes until the program has none or the console takes none; the output's state says which
   (WAITS_FOR_ROOM: the console). */
void console_copy_pump(struct console_copy *console, struct output *output);
