/* The kernel's random numbers: a guest has few sources, and clones of one memory image would share them. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Mixes the seed in, credits it, and makes the generator use it at once. False and errno otherwise. */
bool entropy_add(const uint8_t *seed, size_t size);
