/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The rows of an import in the change log, so that the log alone still gives the store.
 *
 * One stream, cut into pieces of 1 MB (table change_rows): texts are a length and bytes, numbers are LEB128.
 *   sets:    count, then each account, service, header -- in the order in which bulk_apply() adds them
 *   numbers: count, then each distance from the one before, set
 *   ranges:  count, then each first, last, set
 * Some 3 bytes a number: the text of the file would be twenty times that, and a general compressor slower than the
 * whole import.
 */
#include <errno.h>
#include <stdlib.h>

#include "bulk.h"

enum { PIECE = 1 << 20, LEB128_MAX = 10 };

struct log_writer {
	struct store *store;
	sqlite3_stmt *statement;
	uint64_t revision;
	int64_t position;
	unsigned char *piece;
	size_t used;
	uint32_t *order, *sets; /* by index: number in the log + 1; the other way round */
	uint32_t set_count;
};

/* --- writing --- */

static int piece_flush(struct log_writer *writer)
{
	if (!writer->used)
		return 0;
	sqlite3_bind_int64(writer->statement, 1, (int64_t)writer->revision);
	sqlite3_bind_int64(writer->statement, 2, writer->position++);
	sqlite3_bind_blob(writer->statement, 3, writer->piece, (int)writer->used, SQLITE_STATIC);
	int code = sqlite3_step(writer->statement);
	sqlite3_reset(writer->statement);
	writer->used = 0;
	return code == SQLITE_DONE ? 0 : store_failed(writer->store);
}

static int bytes_write(struct log_writer *writer, const void *bytes, size_t length)
{
	int rc = writer->used + length > PIECE ? piece_flush(writer) : 0;

	if (rc == 0 && length)
		memcpy(writer->piece + writer->used, bytes, length);
	if (rc == 0)
		writer->used += length;
	return rc;
}

static int number_write(struct log_writer *writer, uint64_t value)
{
	unsigned char bytes[LEB128_MAX];
	size_t length = 0;

	do {
		bytes[length] = (unsigned char)(value & 0x7f);
		value >>= 7;
		bytes[length++] |= value ? 0x80 : 0;
	} while (value);
	return bytes_write(writer, bytes, length);
}

static int text_write(struct log_writer *writer, struct span text)
{
	int rc = number_write(writer, text.len);

	return rc ? rc : bytes_write(writer, text.ptr, text.len);
}

static void set_order(struct log_writer *writer, uint32_t index)
{
	if (writer->order[index])
		return;
	writer->sets[writer->set_count++] = index;
	writer->order[index] = writer->set_count;
}

static int sets_write(struct log_writer *writer, const struct bulk *bulk)
{
	for (size_t i = 0; i < bulk->count; i++)
		set_order(writer, bulk->numbers[i].set);
	for (size_t i = 0; i < bulk->ranges.count; i++)
		set_order(writer, bulk->ranges.list[i].set);
	int rc = number_write(writer, writer->set_count);
	for (uint32_t i = 0; i < writer->set_count && rc == 0; i++) {
		struct span header;
		struct bulk_set set = bulk_set_get(bulk, writer->sets[i], &header);
		rc = text_write(writer, text_pool_get(&bulk->accounts, set.account));
		if (rc == 0)
			rc = number_write(writer, set.service);
		if (rc == 0)
			rc = text_write(writer, header);
	}
	return rc;
}

static int rows_write(struct log_writer *writer, const struct bulk *bulk)
{
	uint64_t before = 0;
	int rc = number_write(writer, bulk->count);

	for (size_t i = 0; i < bulk->count && rc == 0; i++) {
		rc = number_write(writer, bulk->numbers[i].e164 - before);
		if (rc == 0)
			rc = number_write(writer, writer->order[bulk->numbers[i].set] - 1);
		before = bulk->numbers[i].e164;
	}
	if (rc == 0)
		rc = number_write(writer, bulk->ranges.count);
	for (size_t i = 0; i < bulk->ranges.count && rc == 0; i++) {
		rc = number_write(writer, bulk->ranges.list[i].first);
		if (rc == 0)
			rc = number_write(writer, bulk->ranges.list[i].last);
		if (rc == 0)
			rc = number_write(writer, writer->order[bulk->ranges.list[i].set] - 1);
	}
	return rc;
}

int bulk_log_write(const struct bulk *bulk, struct store *store, uint64_t revision)
{
	struct log_writer writer = {.store = store, .revision = revision};
	int rc = store_select(store, &writer.statement,
			      "INSERT INTO change_rows (revision, position, data) VALUES (?, ?, ?)", "");

	writer.piece = malloc(PIECE);
	writer.order = calloc((size_t)bulk->sets.count + 1, sizeof(*writer.order));
	writer.sets = calloc((size_t)bulk->sets.count + 1, sizeof(*writer.sets));
	if (rc == 0 && (!writer.piece || !writer.order || !writer.sets))
		rc = -ENOMEM;
	if (rc == 0)
		rc = sets_write(&writer, bulk);
	if (rc == 0)
		rc = rows_write(&writer, bulk);
	if (rc == 0)
		rc = piece_flush(&writer);
	sqlite3_finalize(writer.statement);
	free(writer.piece);
	free(writer.order);
	free(writer.sets);
	return rc;
}

/* --- reading --- */

struct log_reader {
	struct store *store;
	sqlite3_stmt *statement;
	const unsigned char *piece;
	size_t length, at;
	int rc; /* the first error; reading gives zeros from then on */
};

static int byte_read(struct log_reader *reader)
{
	while (reader->rc == 0 && reader->at == reader->length) {
		int rc = store_step(reader->store, &reader->statement);
		if (rc < 1) {
			reader->rc = rc ? rc : -EBADMSG;
			break;
		}
		reader->piece = sqlite3_column_blob(reader->statement, 0);
		reader->length = (size_t)sqlite3_column_bytes(reader->statement, 0);
		reader->at = 0;
	}
	return reader->rc ? 0 : reader->piece[reader->at++];
}

static uint64_t number_read(struct log_reader *reader)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 7 * LEB128_MAX; shift += 7) {
		int byte = byte_read(reader);
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	reader->rc = reader->rc ? reader->rc : -EBADMSG;
	return 0;
}

static struct span text_read(struct log_reader *reader, char text[FIELD_NAME_MAX])
{
	uint64_t length = number_read(reader);

	if (length > FIELD_NAME_MAX) {
		reader->rc = -EBADMSG;
		length = 0;
	}
	for (size_t i = 0; i < length; i++)
		text[i] = (char)byte_read(reader);
	return (struct span){text, (size_t)length};
}

static void set_read(struct log_reader *reader, struct bulk *bulk)
{
	char account[FIELD_NAME_MAX], header[FIELD_NAME_MAX];
	struct bulk_set set;
	uint32_t index;
	struct span name = text_read(reader, account);

	set.service = (uint32_t)number_read(reader);
	struct span value = text_read(reader, header);
	if (reader->rc == 0)
		reader->rc = text_pool_find(&bulk->accounts, name, &set.account);
	if (reader->rc == 0)
		reader->rc = bulk_set_add(bulk, &set, value, &index);
}

static uint32_t index_read(struct log_reader *reader, const struct bulk *bulk)
{
	uint64_t index = number_read(reader);

	if (index < bulk->sets.count)
		return (uint32_t)index;
	reader->rc = reader->rc ? reader->rc : -EBADMSG;
	return 0;
}

static void rows_read(struct log_reader *reader, struct bulk *bulk)
{
	uint64_t e164 = 0;

	for (uint64_t left = number_read(reader); left && reader->rc == 0; left--) {
		e164 += number_read(reader);
		uint32_t set = index_read(reader, bulk);
		if (reader->rc == 0)
			reader->rc = bulk_number_add(bulk, &(struct bulk_number){.e164 = e164, .set = set});
	}
	for (uint64_t left = number_read(reader); left && reader->rc == 0; left--) {
		struct range range = {.first = number_read(reader)};
		range.last = number_read(reader);
		range.set = index_read(reader, bulk);
		if (reader->rc == 0)
			reader->rc = ranges_add(&bulk->ranges, &range);
	}
}

int bulk_log_read(struct bulk *bulk, struct store *store, uint64_t revision)
{
	struct log_reader reader = {.store = store};

	reader.rc = store_select(store, &reader.statement,
				 "SELECT data FROM change_rows WHERE revision = ? ORDER BY position", "i",
				 (int64_t)revision);
	for (uint64_t left = number_read(&reader); left && reader.rc == 0; left--)
		set_read(&reader, bulk);
	if (reader.rc == 0)
		rows_read(&reader, bulk);
	sqlite3_finalize(reader.statement);
	return reader.rc;
}
