/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The two encodings of the ng protocol; ng_message.c knows no other difference between them. */
#ifndef TRUNKGATE_NG_CODEC_H
#define TRUNKGATE_NG_CODEC_H

#include "ng_message.h"

struct ng_codec {
	char open, close; /**< of a dictionary */
	/** Cuts one value off; @p depth counts down. */
	bool (*value_read)(struct span *rest, struct ng_value *value, unsigned depth);
	/** Cuts off what stands between values: ',' and white space in JSON. @p first: before the first one. False if a
	 *  separator lacks or is too much. */
	bool (*separator_read)(struct span *rest, char close, bool first);
	/** Cuts off what stands between key and value. */
	bool (*colon_read)(struct span *rest);
	/** Decodes a raw string. */
	int (*text)(struct span raw, char *room, size_t size, struct span *text);
	void (*text_write)(struct ng_writer *writer, struct span text);
	void (*number_write)(struct ng_writer *writer, uint64_t number);
	struct span separator, colon, list_open, list_close;
};

extern const struct ng_codec ng_bencode, ng_json;

void ng_put(struct ng_writer *writer, struct span text);

#endif
