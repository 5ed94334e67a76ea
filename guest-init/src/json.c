/* Recursive descent over the text; strings are decoded in place, which never makes them longer. */
#include "json.h"

#include <stdlib.h>
#include <string.h>

#include "utf8.h"

struct reader {
  char *text;
  size_t at, length;
  unsigned depth;
  size_t value_count;
  struct json_error *error;
};

static struct json_value values[JSON_LIMIT_VALUES];

static bool read_value(struct reader *reader, struct json_value **result);

static bool refuse(struct reader *reader, const char *reason) {
  reader->error->offset = reader->at;
  reader->error->reason = reason;
  return false;
}

/* The byte at the reader's place; 0 at the end (a zero byte inside the text is refused by every caller). */
static char peek(const struct reader *reader) {
  return reader->at < reader->length ? reader->text[reader->at] : '\0';
}

static void skip_space(struct reader *reader) {
  while (reader->at < reader->length && strchr(" \t\n\r", reader->text[reader->at]) &&
         reader->text[reader->at] != '\0')
    reader->at++;
}

static struct json_value *new_value(struct reader *reader, enum json_kind kind) {
  if (reader->value_count == JSON_LIMIT_VALUES) return NULL;
  struct json_value *value = &values[reader->value_count++];
  *value = (struct json_value){.kind = kind};
  return value;
}

static bool read_hex4(struct reader *reader, uint32_t *code) {
  *code = 0;
  for (int digit = 0; digit < 4; digit++) {
    char c = peek(reader);
    uint32_t number;
    if (c >= '0' && c <= '9') number = (uint32_t)(c - '0');
    else if (c >= 'a' && c <= 'f') number = (uint32_t)(c - 'a' + 10);
    else if (c >= 'A' && c <= 'F') number = (uint32_t)(c - 'A' + 10);
    else return refuse(reader, "\\u wants four hexadecimal digits");
    *code = *code << 4 | number;
    reader->at++;
  }
  return true;
}

static bool read_escaped_code(struct reader *reader, char **out) {
  uint32_t code;
  if (!read_hex4(reader, &code)) return false;
  if (code == 0) return refuse(reader, "a string holds U+0000");
  if (code >= 0xdc00 && code <= 0xdfff) return refuse(reader, "a lone surrogate");
  if (code >= 0xd800 && code <= 0xdbff) {
    uint32_t low;
    if (reader->length - reader->at < 2 || memcmp(reader->text + reader->at, "\\u", 2) != 0)
      return refuse(reader, "a lone surrogate");
    reader->at += 2;
    if (!read_hex4(reader, &low)) return false;
    if (low < 0xdc00 || low > 0xdfff) return refuse(reader, "a lone surrogate");
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  *out += utf8_encode(code, *out);
  return true;
}

static bool read_escape(struct reader *reader, char **out) {
  static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  char letter = peek(reader);
  if (letter == 'u') {
    reader->at++;
    return read_escaped_code(reader, out);
  }
  const char *place = letter == '\0' ? NULL : strchr(letters, letter);
  if (place == NULL) return refuse(reader, "an unknown escape");
  reader->at++;
  *(*out)++ = meanings[place - letters];
  return true;
}

static bool read_string(struct reader *reader, const char **result) {
  reader->at++; /* the opening quote */
  char *start = reader->text + reader->at, *out = start;
  for (;;) {
    if (reader->at >= reader->length) return refuse(reader, "a string without its end");
    unsigned char c = (unsigned char)reader->text[reader->at];
    if (c < 0x20) return refuse(reader, "a control character in a string");
    if (c == '"') break;
    if (c == '\\') {
      reader->at++;
      if (!read_escape(reader, &out)) return false;
      continue;
    }
    size_t size = utf8_check(reader->text + reader->at, reader->length - reader->at);
    if (size == 0) return refuse(reader, "not UTF-8");
    memmove(out, reader->text + reader->at, size);
    out += size;
    reader->at += size;
  }
  reader->at++;
  *out = '\0'; /* at the latest on the closing quote */
  *result = start;
  return true;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool read_digits(struct reader *reader) {
  if (!is_digit(peek(reader))) return refuse(reader, "a number wants a digit");
  while (is_digit(peek(reader))) reader->at++;
  return true;
}

static bool read_number(struct reader *reader, struct json_value *value) {
  size_t start = reader->at;
  value->is_integer = true;
  if (peek(reader) == '-') reader->at++;
  if (peek(reader) == '0') reader->at++;
  else if (!read_digits(reader)) return false;
  size_t integer_length = reader->at - start;
  if (peek(reader) == '.') {
    reader->at++;
    value->is_integer = false;
    if (!read_digits(reader)) return false;
  }
  if (peek(reader) == 'e' || peek(reader) == 'E') {
    reader->at++;
    value->is_integer = false;
    if (peek(reader) == '+' || peek(reader) == '-') reader->at++;
    if (!read_digits(reader)) return false;
  }
  if (integer_length > 18) value->is_integer = false; /* 18 characters always fit an int64_t */
  if (value->is_integer) {
    char digits[20] = {0};
    memcpy(digits, reader->text + start, integer_length);
    value->integer = strtoll(digits, NULL, 10);
  }
  return true;
}

static bool read_word(struct reader *reader, const char *word) {
  size_t length = strlen(word);
  if (reader->length - reader->at < length || memcmp(reader->text + reader->at, word, length) != 0)
    return refuse(reader, "not a JSON value");
  reader->at += length;
  return true;
}

static bool read_member(struct reader *reader, struct json_value *object, struct json_value **item) {
  const char *name;
  if (peek(reader) != '"') return refuse(reader, "a member's name wants a quote");
  if (!read_string(reader, &name)) return false;
  if (object->count == JSON_LIMIT_MEMBERS) return refuse(reader, "too many members in one object");
  if (json_member(object, name) != NULL) return refuse(reader, "a name twice in one object");
  skip_space(reader);
  if (peek(reader) != ':') return refuse(reader, "a colon is missing");
  reader->at++;
  if (!read_value(reader, item)) return false;
  (*item)->name = name;
  return true;
}

/* Elements of an array or members of an object, from the opening bracket to the closing one. */
static bool read_items(struct reader *reader, struct json_value *parent, char closing) {
  if (++reader->depth > JSON_LIMIT_DEPTH) return refuse(reader, "too deep");
  reader->at++;
  skip_space(reader);
  struct json_value **link = &parent->first;
  while (peek(reader) != closing || parent->count > 0) {
    struct json_value *item;
    bool read = closing == '}' ? read_member(reader, parent, &item) : read_value(reader, &item);
    if (!read) return false;
    *link = item;
    link = &item->next;
    parent->count++;
    skip_space(reader);
    if (peek(reader) == closing) break;
    if (peek(reader) != ',') return refuse(reader, "a comma or the end is missing");
    reader->at++;
    skip_space(reader);
  }
  reader->at++;
  reader->depth--;
  return true;
}

static bool read_value(struct reader *reader, struct json_value **result) {
  skip_space(reader);
  struct json_value *value = *result = new_value(reader, JSON_NULL);
  if (value == NULL) return refuse(reader, "too many values");
  switch (peek(reader)) {
    case '{': value->kind = JSON_OBJECT; return read_items(reader, value, '}');
    case '[': value->kind = JSON_ARRAY; return read_items(reader, value, ']');
    case '"': value->kind = JSON_STRING; return read_string(reader, &value->string);
    case 't': value->kind = JSON_BOOLEAN; value->boolean = true; return read_word(reader, "true");
    case 'f': value->kind = JSON_BOOLEAN; return read_word(reader, "false");
    case 'n': return read_word(reader, "null");
    default:
      if (peek(reader) != '-' && !is_digit(peek(reader))) return refuse(reader, "not a JSON value");
      value->kind = JSON_NUMBER;
      return read_number(reader, value);
  }
}

const struct json_value *json_read(char *text, size_t length, struct json_error *error) {
  struct reader reader = {.text = text, .length = length, .error = error};
  struct json_value *value;
  if (length > JSON_LIMIT_BYTES) return refuse(&reader, "longer than 1 MiB"), NULL;
  if (!read_value(&reader, &value)) return NULL;
  skip_space(&reader);
  if (reader.at != length) return refuse(&reader, "something follows the document"), NULL;
  return value;
}

const struct json_value *json_member(const struct json_value *object, const char *name) {
  for (const struct json_value *member = object->first; member != NULL; member = member->next)
    if (strcmp(member->name, name) == 0) return member;
  return NULL;
}
