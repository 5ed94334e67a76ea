/* Base64 with padding (RFC 4648 §4), strict. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes `text` into exactly `size` bytes; false where it is not base64 or of another length. */
bool base64_decode(const char *text, uint8_t *out, size_t size);
