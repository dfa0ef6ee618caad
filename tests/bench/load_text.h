/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The little of SIP that sip_load reads and writes: it talks to a gateway that writes headers one a line, long names.
 */
#ifndef LOAD_TEXT_H
#define LOAD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A message being written; what does not fit is left out. */
struct load_text {
	size_t length;
	char bytes[8192];
};

__attribute__((format(printf, 2, 3))) void load_add(struct load_text *text, const char *format, ...);

/** Copies all header lines of that name ("Via:") from a message. */
void load_add_lines(struct load_text *text, const char *message, const char *name);

/** Content-Length, and an audio stream of G.711 at this host unless it is NULL. */
void load_add_body(struct load_text *text, const char *host);

/** The value of the first header of that name, up to its end of line, in @p to; empty if there is none. */
void load_value(const char *message, const char *name, char *to, size_t size);

/** What follows @p before in @p value up to one of @p ends: load_piece(to, ";tag=", ";>", ...). */
void load_piece(const char *value, const char *before, const char *ends, char *to, size_t size);

/** The Route lines that a caller's later requests need: the Record-Routes of the answer, last one first. */
void load_routes(const char *answer, char *to, size_t size);

/** FNV-1a. */
uint64_t load_hash(const char *text, uint64_t seed);

/** The status of a response; 0 for a request. */
int load_status(const char *message);

static inline int64_t load_ms(int64_t ms)
{
	return ms * 1000000;
}

#endif
