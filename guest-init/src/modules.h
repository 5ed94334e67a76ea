/* Kernel modules that came in the initrd. */
#pragma once

#define MODULES_PATH "/bulkhead/modules"

/* Loads every file of the folder in the order of the names and calls `loaded` after each. A module that cannot be loaded is told on the console
   and does not end the boot: the step that needs it will say what is missing. No folder: all is built in. */
void modules_load(const char *path, void (*loaded)(void));
