/* SPDX-License-Identifier: GPL-2.0-or-later */
/** A message that was read can be written again and reads the same. */
#include "fuzz.h"
#include "ng_message.h"

static struct ng_message first, second;
static char out[4 * NG_DATAGRAM_MAX], room[2][NG_DATAGRAM_MAX];

static void require_same_value(const struct ng_value *a, const struct ng_value *b)
{
	struct span x, y;
	REQUIRE(a->type == b->type && span_equal(a->raw, b->raw));
	if (a->type != NG_STRING)
		return;
	REQUIRE(ng_text(first.format, a, room[0], sizeof(room[0]), &x) == 0);
	REQUIRE(ng_text(second.format, b, room[1], sizeof(room[1]), &y) == 0);
	REQUIRE(span_equal(x, y));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ng_writer writer;
	struct ng_value item;
	if (size > NG_DATAGRAM_MAX || ng_read((struct span){(const char *)data, size}, &first))
		return 0;
	ng_write_begin(&writer, first.format, first.cookie, out, sizeof(out));
	for (unsigned i = 0; i < first.count; i++) {
		const struct ng_entry *entry = &first.entries[i];
		if (entry->value.type == NG_LIST)
			for (struct span rest = ng_items(&entry->value); ng_item_next(first.format, &rest, &item);)
				REQUIRE(item.raw.len > 0);
		ng_write_raw(&writer, entry->key, entry->value.raw);
	}
	long length = ng_write_end(&writer);
	REQUIRE(length > 0 && ng_read((struct span){out, (size_t)length}, &second) == 0);
	REQUIRE(second.count == first.count && span_equal(second.cookie, first.cookie));
	for (unsigned i = 0; i < first.count; i++) {
		REQUIRE(span_equal(first.entries[i].key, second.entries[i].key));
		require_same_value(&first.entries[i].value, &second.entries[i].value);
	}
	return 0;
}
