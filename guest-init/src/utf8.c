/* Table 3-7 of the Unicode standard ("Well-Formed UTF-8 Byte Sequences"), written as ranges. */
#include "utf8.h"

size_t utf8_check(const char *bytes, size_t available) {
  const unsigned char *b = (const unsigned char *)bytes;
  if (available == 0) return 0;
  if (b[0] < 0x80) return 1;
  size_t size = b[0] >= 0xc2 && b[0] <= 0xdf ? 2 : b[0] >= 0xe0 && b[0] <= 0xef ? 3 : b[0] >= 0xf0 && b[0] <= 0xf4 ? 4 : 0;
  if (size == 0 || available < size) return 0;
  unsigned char low = b[0] == 0xe0 ? 0xa0 : b[0] == 0xf0 ? 0x90 : 0x80;
  unsigned char high = b[0] == 0xed ? 0x9f : b[0] == 0xf4 ? 0x8f : 0xbf;
  if (b[1] < low || b[1] > high) return 0;
  for (size_t i = 2; i < size; i++)
    if (b[i] < 0x80 || b[i] > 0xbf) return 0;
  return size;
}

size_t utf8_encode(uint32_t code, char *out) {
  unsigned char *b = (unsigned char *)out;
  if (code < 0x80) {
    b[0] = (unsigned char)code;
    return 1;
  }
  if (code < 0x800) {
    b[0] = (unsigned char)(0xc0 | code >> 6);
    b[1] = (unsigned char)(0x80 | (code & 0x3f));
    return 2;
  }
  if (code < 0x10000) {
    b[0] = (unsigned char)(0xe0 | code >> 12);
    b[1] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
    b[2] = (unsigned char)(0x80 | (code & 0x3f));
    return 3;
  }
  b[0] = (unsigned char)(0xf0 | code >> 18);
  b[1] = (unsigned char)(0x80 | (code >> 12 & 0x3f));
  b[2] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
  b[3] = (unsigned char)(0x80 | (code & 0x3f));
  return 4;
}
