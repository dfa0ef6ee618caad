/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * A datagram of the ng protocol, "cookie SP dictionary", in bencode or JSON: read strictly, its top level only; what
 * lies deeper is checked for form and passed as it is. Nothing is allocated.
 *
 * What rtpengine's own readers could take differently is no message: bytes after the end, a key twice that the rules
 * look at (also in another spelling: "call id" and "call-ID"), missing ends, nesting without limit.
 */
#ifndef TRUNKGATE_NG_MESSAGE_H
#define TRUNKGATE_NG_MESSAGE_H

#include <stdint.h>

#include "span.h"

enum {
	NG_DATAGRAM_MAX = 65535, /**< the buffer that rtpengine receives into */
	NG_ENTRIES_MAX = 128,
	NG_KEYS_MAX = 4096, /**< bytes of all keys */
	NG_DEPTH_MAX = 16,
};

enum ng_format { NG_BENCODE, NG_JSON };
enum ng_type { NG_STRING, NG_INTEGER, NG_LIST, NG_DICTIONARY };

/** One value as it stands in the datagram. */
struct ng_value {
	enum ng_type type;
	struct span raw;
};

struct ng_entry {
	struct span key; /**< decoded */
	struct ng_value value;
};

struct ng_message {
	enum ng_format format;
	struct span cookie;
	unsigned count;
	struct ng_entry entries[NG_ENTRIES_MAX];
	char keys[NG_KEYS_MAX];
};

/** Spans point into the datagram and into the message itself: do not copy it. Returns 0 or -EINVAL; then cookie and
 *  format are set as far as they could be told, so that the sender can be answered. */
int ng_read(struct span datagram, struct ng_message *message);

/** Key as one of its spellings: letters of either case, ' ' and '_' for '-'. */
bool ng_key_is(struct span key, const char *name);
/** NULL if there is no such key. */
const struct ng_value *ng_find(const struct ng_message *message, const char *name);

/** Text of a string: bencode's lies in the datagram, JSON's is decoded into @p room. Returns 0, -EINVAL for a value of
 *  another type, -ENOSPC. */
int ng_text(enum ng_format format, const struct ng_value *value, char *room, size_t size, struct span *text);

/** Cuts the next item off the inner part of a list; start with ng_items(). */
struct span ng_items(const struct ng_value *list);
bool ng_item_next(enum ng_format format, struct span *rest, struct ng_value *item);

/** Writes one message into a bounded buffer; what does not fit makes ng_write_end() fail. */
struct ng_writer {
	enum ng_format format;
	char *out;
	size_t size, length;
	bool full, first; /**< first: nothing at this level yet */
};
void ng_write_begin(struct ng_writer *writer, enum ng_format format, struct span cookie, char *out, size_t size);
void ng_write_raw(struct ng_writer *writer, struct span key, struct span raw);
void ng_write_text(struct ng_writer *writer, struct span key, struct span text);
void ng_write_number(struct ng_writer *writer, struct span key, uint64_t number);
/** A list: its items are those of @p list (NULL: none), then the texts that are added. */
void ng_write_list_begin(struct ng_writer *writer, struct span key, const struct ng_value *list);
void ng_write_list_text(struct ng_writer *writer, struct span text);
void ng_write_list_end(struct ng_writer *writer);
/** Returns the length or -ENOSPC. */
long ng_write_end(struct ng_writer *writer);

#endif
