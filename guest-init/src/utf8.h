/* UTF-8 as RFC 3629 has it: no surrogates, no overlong forms, nothing above U+10FFFF. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Length in bytes (1–4) of the well-formed sequence at `bytes`, 0 where there is none. */
size_t utf8_check(const char *bytes, size_t available);

/* Writes the code point and returns its length in bytes. */
size_t utf8_encode(uint32_t code, char *out);
