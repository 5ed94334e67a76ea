/* The program's terminal: a pty of the devpts inside its own root. The program's side opens it, guest-init keeps
   the master. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "failure.h"

#define TERMINAL_PATH_BYTES 32

/* In the program's root: a new pty of that size, its slave's path in `path`, shown as /dev/console too. Returns
   the master, -1 on failure (step `open-terminal`). */
int terminal_open(uint16_t rows, uint16_t columns, char path[TERMINAL_PATH_BYTES], struct failure *failure);

/* In the program, leader of a new session: the slave as its controlling terminal. Returns the slave, or -1. */
int terminal_take(const char *path, struct failure *failure);

/* A slave for guest-init to hold: while it is open, a program that closes its own does not end the terminal.
   -1 where the kernel cannot (before Linux 4.13). */
int terminal_hold(int master);

void terminal_resize(int master, uint16_t rows, uint16_t columns, uint16_t width_pixels, uint16_t height_pixels);

/* The character that means end of file to a program that reads lines, 0 in raw mode or where it is switched off. */
char terminal_end_character(int master);
