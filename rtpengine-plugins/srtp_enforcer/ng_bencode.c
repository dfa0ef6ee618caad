/* SPDX-License-Identifier: GPL-2.0-or-later */
/** bencode: "4:text", "i42e", "l...e", "d...e". */
#include "ng_codec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Length of the canonical number that @p text begins with: no leading zero. 0: none. */
static size_t number_length(struct span text, size_t max)
{
	size_t length = 0;
	while (length < text.len && length <= max && is_digit(text.ptr[length]))
		length++;
	return length > max || (length > 1 && *text.ptr == '0') ? 0 : length;
}

/* "12:": where the text begins, and how long it is. */
static bool string_head(struct span raw, size_t *start, size_t *length)
{
	size_t digits = number_length(raw, 5);
	if (digits == 0 || digits >= raw.len || raw.ptr[digits] != ':')
		return false;
	*length = 0;
	for (size_t i = 0; i < digits; i++)
		*length = *length * 10 + (size_t)(raw.ptr[i] - '0');
	*start = digits + 1;
	return *length <= raw.len - *start;
}

static bool string_read(struct span *rest)
{
	size_t start, length;
	if (!string_head(*rest, &start, &length))
		return false;
	*rest = span_skip(*rest, start + length);
	return true;
}

static bool integer_read(struct span *rest)
{
	struct span text = span_skip(*rest, 1);
	bool negative = text.len && *text.ptr == '-';
	if (negative)
		text = span_skip(text, 1);
	size_t digits = number_length(text, 18);
	if (digits == 0 || digits >= text.len || text.ptr[digits] != 'e' || (negative && *text.ptr == '0'))
		return false;
	*rest = span_skip(text, digits + 1);
	return true;
}

static bool value_read(struct span *rest, struct ng_value *value, unsigned depth);

static bool container_read(struct span *rest, bool is_dictionary, unsigned depth)
{
	struct ng_value inner;
	*rest = span_skip(*rest, 1);
	while (rest->len && *rest->ptr != 'e') {
		if (is_dictionary && !string_read(rest))
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
	if (rest->len == 0 || depth == 0)
		return false;
	switch (*rest->ptr) {
	case 'd':
	case 'l':
		value->type = *rest->ptr == 'd' ? NG_DICTIONARY : NG_LIST;
		found = container_read(rest, *rest->ptr == 'd', depth);
		break;
	case 'i':
		value->type = NG_INTEGER;
		found = integer_read(rest);
		break;
	default:
		value->type = NG_STRING;
		found = string_read(rest);
	}
	value->raw = (struct span){start.ptr, start.len - rest->len};
	return found;
}

static bool separator_read(struct span *rest, char close, bool first)
{
	(void)rest, (void)close, (void)first;
	return true;
}

static bool colon_read(struct span *rest)
{
	(void)rest;
	return true;
}

static int text(struct span raw, char *room, size_t size, struct span *found)
{
	size_t start, length;
	(void)room, (void)size;
	if (!string_head(raw, &start, &length))
		return -EINVAL;
	*found = (struct span){raw.ptr + start, length};
	return 0;
}

static void text_write(struct ng_writer *writer, struct span string)
{
	char head[24];
	int length = snprintf(head, sizeof(head), "%zu:", string.len);
	ng_put(writer, (struct span){head, (size_t)length});
	ng_put(writer, string);
}

static void number_write(struct ng_writer *writer, uint64_t number)
{
	char digits[32];
	int length = snprintf(digits, sizeof(digits), "i%" PRIu64 "e", number);
	ng_put(writer, (struct span){digits, (size_t)length});
}

const struct ng_codec ng_bencode = {
	.open = 'd',
	.close = 'e',
	.value_read = value_read,
	.separator_read = separator_read,
	.colon_read = colon_read,
	.text = text,
	.text_write = text_write,
	.number_write = number_write,
	.separator = {"", 0},
	.colon = {"", 0},
	.list_open = {"l", 1},
	.list_close = {"e", 1},
};
