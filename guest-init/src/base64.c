/* Decoding by groups of four characters. */
#include "base64.h"

#include <string.h>

static int value_of(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(const char *text, uint8_t *out, size_t size) {
  size_t length = strlen(text), padding = (3 - size % 3) % 3;
  if (length != (size + padding) / 3 * 4) return false;
  size_t done = 0;
  uint32_t bits = 0;
  unsigned bit_count = 0;
  for (size_t i = 0; i < length - padding; i++) {
    int value = value_of(text[i]);
    if (value < 0) return false;
    bits = bits << 6 | (uint32_t)value;
    bit_count += 6;
    if (bit_count < 8) continue;
    bit_count -= 8;
    out[done++] = (uint8_t)(bits >> bit_count);
    bits &= (1u << bit_count) - 1;
  }
  for (size_t i = length - padding; i < length; i++)
    if (text[i] != '=') return false;
  return done == size && bits == 0;
}
