/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Kamailio's counted string and ours: the one place where they meet. */
#ifndef TRUNKGATE_GLUE_H
#define TRUNKGATE_GLUE_H

#include <core/str.h>

#include "span.h"

static inline struct span span_of_str(const str *text)
{
	return (struct span){text->s, text->s && text->len > 0 ? (size_t)text->len : 0};
}

/** Kamailio's str has no const; nobody writes through this one. */
static inline str str_of_span(struct span span)
{
	return (str){.s = (char *)span.ptr, .len = (int)span.len};
}

static inline str str_of(const char *text)
{
	return str_of_span(span_of(text));
}

#endif
