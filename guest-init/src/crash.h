/* A fault in PID 1 would be a kernel panic: it becomes a line on the console and a power-off. */
#pragma once

void crash_catch(void);
