/* SPDX-License-Identifier: GPL-2.0-or-later */
/** JSON (RFC 8259), as far as rtpengine can take it: whole numbers, true and false, no null, no NUL in texts. */
#include "ng_codec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static void space_skip(struct span *rest)
{
	while (rest->len && *rest->ptr && strchr(" \t\r\n", *rest->ptr))
		*rest = span_skip(*rest, 1);
}

static bool word_read(struct span *rest, const char *word)
{
	size_t length = strlen(word);
	if (rest->len < length || memcmp(rest->ptr, word, length))
		return false;
	*rest = span_skip(*rest, length);
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits after \u. */
static bool unit_read(struct span *rest, unsigned *unit)
{
	if (rest->len < 4)
		return false;
	*unit = 0;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(rest->ptr[i]);
		if (digit < 0)
			return false;
		*unit = *unit << 4 | (unsigned)digit;
	}
	*rest = span_skip(*rest, 4);
	return true;
}

/* What follows \u, with the second half of a surrogate pair; NUL and halves alone are refused. */
static bool code_read(struct span *rest, unsigned *code)
{
	unsigned low;
	if (!unit_read(rest, code) || *code == 0 || (*code & 0xfc00) == 0xdc00)
		return false;
	if ((*code & 0xfc00) != 0xd800)
		return true;
	if (!word_read(rest, "\\u") || !unit_read(rest, &low) || (low & 0xfc00) != 0xdc00)
		return false;
	*code = 0x10000 + ((*code & 0x3ff) << 10 | (low & 0x3ff));
	return true;
}

static size_t utf8(unsigned code, char bytes[4])
{
	static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
	size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	for (size_t i = length; i-- > 1; code >>= 6)
		bytes[i] = (char)(0x80 | (code & 0x3f));
	bytes[0] = (char)(code | (length > 1 ? first[length] : 0));
	return length;
}

/* One character of a string, as its bytes. Returns how many, 0 if it is none. */
static size_t character_read(struct span *rest, char bytes[4])
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	unsigned code;
	bytes[0] = *rest->ptr;
	if ((unsigned char)bytes[0] < 0x20)
		return 0;
	*rest = span_skip(*rest, 1);
	if (bytes[0] != '\\')
		return 1;
	if (word_read(rest, "u"))
		return code_read(rest, &code) ? utf8(code, bytes) : 0;
	const char *found = rest->len && *rest->ptr ? strchr(from, *rest->ptr) : NULL;
	if (!found)
		return 0;
	bytes[0] = to[found - from];
	*rest = span_skip(*rest, 1);
	return 1;
}

/* Cuts a string with its quotes off; decodes it into @p room, if there is one. */
static int string_read(struct span *rest, char *room, size_t size, size_t *length)
{
	char bytes[4];
	*length = 0;
	if (!word_read(rest, "\""))
		return -EINVAL;
	while (rest->len && *rest->ptr != '"') {
		size_t count = character_read(rest, bytes);
		if (count == 0)
			return -EINVAL;
		if (room && count > size - *length)
			return -ENOSPC;
		if (room)
			memcpy(room + *length, bytes, count);
		*length += count;
	}
	return word_read(rest, "\"") ? 0 : -EINVAL;
}

static bool integer_read(struct span *rest)
{
	size_t digits = 0;
	bool negative = word_read(rest, "-");
	while (digits < rest->len && rest->ptr[digits] >= '0' && rest->ptr[digits] <= '9')
		digits++;
	if (digits == 0 || digits > 18 || (*rest->ptr == '0' && (digits > 1 || negative)))
		return false;
	*rest = span_skip(*rest, digits);
	return rest->len == 0 || *rest->ptr == '\0' || !strchr(".eE", *rest->ptr);
}

static bool separator_read(struct span *rest, char close, bool first)
{
	space_skip(rest);
	if (first || (rest->len && *rest->ptr == close))
		return true;
	if (!word_read(rest, ","))
		return false;
	space_skip(rest);
	return rest->len && *rest->ptr != close;
}

static bool colon_read(struct span *rest)
{
	space_skip(rest);
	if (!word_read(rest, ":"))
		return false;
	space_skip(rest);
	return true;
}

static bool value_read(struct span *rest, struct ng_value *value, unsigned depth);

static bool container_read(struct span *rest, bool is_dictionary, unsigned depth)
{
	char close = is_dictionary ? '}' : ']';
	struct ng_value inner;
	size_t length;
	*rest = span_skip(*rest, 1);
	for (bool first = true;; first = false) {
		if (!separator_read(rest, close, first))
			return false;
		if (rest->len == 0 || *rest->ptr == close)
			break;
		if (is_dictionary && (string_read(rest, NULL, 0, &length) || !colon_read(rest)))
			return false;
		if (!value_read(rest, &inner, depth - 1))
			return false;
	}
	if (rest->len == 0)
		return false;
	*rest = span_skip(*rest, 1);
	return true;
}

static bool value_read(struct span *rest, struct ng_value *value, unsigned depth)
{
	struct span start = *rest;
	bool found = false;
	size_t length;
	if (rest->len == 0 || depth == 0)
		return false;
	switch (*rest->ptr) {
	case '{':
	case '[':
		value->type = *rest->ptr == '{' ? NG_DICTIONARY : NG_LIST;
		found = container_read(rest, *rest->ptr == '{', depth);
		break;
	case '"':
		value->type = NG_STRING;
		found = string_read(rest, NULL, 0, &length) == 0;
		break;
	default:
		value->type = NG_INTEGER;
		found = word_read(rest, "true") || word_read(rest, "false") || integer_read(rest);
	}
	value->raw = (struct span){start.ptr, start.len - rest->len};
	return found;
}

static int text(struct span raw, char *room, size_t size, struct span *found)
{
	size_t length;
	int error = string_read(&raw, room, size, &length);
	if (error)
		return error;
	*found = (struct span){room, length};
	return 0;
}

static void text_write(struct ng_writer *writer, struct span string)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	ng_put(writer, SPAN_LIT("\""));
	for (size_t i = 0; i < string.len; i++) {
		char c = string.ptr[i], escaped[8];
		const char *found = c ? strchr(from, c) : NULL;
		int length = 1;
		if (found)
			length = snprintf(escaped, sizeof(escaped), "\\%c", to[found - from]);
		else if ((unsigned char)c < 0x20)
			length = snprintf(escaped, sizeof(escaped), "\\u%04x", (unsigned char)c);
		else
			*escaped = c;
		ng_put(writer, (struct span){escaped, (size_t)length});
	}
	ng_put(writer, SPAN_LIT("\""));
}

static void number_write(struct ng_writer *writer, uint64_t number)
{
	char digits[32];
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, number);
	ng_put(writer, (struct span){digits, (size_t)length});
}

const struct ng_codec ng_json = {
	.open = '{',
	.close = '}',
	.value_read = value_read,
	.separator_read = separator_read,
	.colon_read = colon_read,
	.text = text,
	.text_write = text_write,
	.number_write = number_write,
	.separator = {",", 1},
	.colon = {":", 1},
	.list_open = {"[", 1},
	.list_close = {"]", 1},
};
