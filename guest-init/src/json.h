/* A small strict JSON reader (RFC 8259) for documents of at most 1 MiB from the host.
   Stricter than the RFC: well-formed UTF-8 only, no U+0000 and no lone surrogates in strings (they become C
   strings), no name twice in an object, at most 32 levels, 65536 values and 256 members in one object. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_LIMIT_BYTES (1u << 20)
#define JSON_LIMIT_DEPTH 32
#define JSON_LIMIT_VALUES 65536
#define JSON_LIMIT_MEMBERS 256 /* in one object: names are compared with each other */

enum json_kind { JSON_NULL, JSON_BOOLEAN, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_value {
  enum json_kind kind;
  bool boolean;
  bool is_integer;                /* a number without fraction and exponent that fits `integer` */
  int64_t integer;
  const char *string;             /* UTF-8, ends in a zero byte */
  const char *name;               /* the member's name inside an object */
  struct json_value *first, *next; /* the first element or member; the next one beside this value */
  size_t count;                   /* of elements or members */
};

struct json_error {
  size_t offset;      /* byte where reading stopped */
  const char *reason; /* what was wrong there */
};

/* Reads a whole document. The text is decoded in place and must stay as long as the values are used. Returns NULL and fills in `error` when the document is refused.
   The values live in one static pool: a later call takes back those of an earlier one. */
const struct json_value *json_read(char *text, size_t length, struct json_error *error);

/* The member called `name`, or NULL. */
const struct json_value *json_member(const struct json_value *object, const char *name);
