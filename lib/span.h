/* SPDX-License-Identifier: GPL-2.0-or-later */
/** A counted, read-only view of text. It owns nothing and need not end in NUL. */
#ifndef TRUNKGATE_SPAN_H
#define TRUNKGATE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
	const char *ptr;
	size_t len;
};

#define SPAN_LIT(literal) ((struct span){literal, sizeof(literal) - 1})
/** The two printf arguments of a "%.*s". */
#define SPAN_ARGS(span) (int)(span).len, (span).ptr

/** View of a C string; NULL gives the empty view. */
static inline struct span span_of(const char *text)
{
	return (struct span){text, text ? strlen(text) : 0};
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/** Without its first @p count bytes; there are as many. */
static inline struct span span_skip(struct span text, size_t count)
{
	return (struct span){text.ptr + count, text.len - count};
}

static inline bool span_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/** Without spaces, tabs and CR at both ends. */
static inline struct span span_trim(struct span text)
{
	while (text.len && span_is_space(*text.ptr))
		text = span_skip(text, 1);
	while (text.len && span_is_space(text.ptr[text.len - 1]))
		text.len--;
	return text;
}

#endif
