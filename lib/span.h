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

#endif
