/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Many numbers and ranges at once: into the store. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bulk.h"

enum { STEP = 1024 };

/* What one pass needs. */
struct writer {
	struct bulk *bulk;
	struct store *store;
	sqlite3_stmt *set_find, *set_add, *number, *range;
	uint32_t *ids; /* by index of the set: the store's id; 0: not known */
	bool adds_sets;
};

static int statement_new(struct store *store, sqlite3_stmt **statement, const char *sql)
{
	return store_select(store, statement, sql, "");
}

static void writer_finish(struct writer *writer)
{
	sqlite3_finalize(writer->set_find);
	sqlite3_finalize(writer->set_add);
	sqlite3_finalize(writer->number);
	sqlite3_finalize(writer->range);
	free(writer->ids);
}

static int writer_init(struct writer *writer, struct bulk *bulk, struct store *store)
{
	*writer = (struct writer){.bulk = bulk, .store = store};
	writer->ids = calloc((size_t)bulk->sets.count + 1, sizeof(*writer->ids));
	if (!writer->ids)
		return -ENOMEM;
	int rc = statement_new(store, &writer->set_find,
			       "SELECT id FROM attribute_set WHERE account = ? AND service = ? AND header = ?");
	if (rc == 0)
		rc = statement_new(store, &writer->set_add,
				   "INSERT INTO attribute_set (account, service, header) VALUES (?, ?, ?)");
	if (rc == 0)
		rc = statement_new(store, &writer->number,
				   "INSERT INTO number (e164, attribute_set, account) VALUES (?, ?, ?)"
				   " ON CONFLICT (e164) DO UPDATE SET attribute_set = excluded.attribute_set,"
				   " account = excluded.account WHERE attribute_set != excluded.attribute_set");
	if (rc == 0)
		rc = statement_new(store, &writer->range,
				   "INSERT INTO number_range (first, last, attribute_set) VALUES (?, ?, ?)"
				   " ON CONFLICT (first, last) DO UPDATE SET attribute_set = excluded.attribute_set"
				   " WHERE attribute_set != excluded.attribute_set");
	return rc;
}

static int statement_run(struct store *store, sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);

	sqlite3_reset(statement);
	if (code == SQLITE_DONE || code == SQLITE_ROW)
		return 0;
	return store_failed(store);
}

static void set_bind(struct writer *writer, sqlite3_stmt *statement, uint32_t index)
{
	struct span header;
	struct bulk_set set = bulk_set_get(writer->bulk, index, &header);
	struct span account = text_pool_get(&writer->bulk->accounts, set.account);

	sqlite3_bind_text(statement, 1, account.ptr, (int)account.len, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 2, set.service);
	sqlite3_bind_text(statement, 3, header.ptr, (int)header.len, SQLITE_STATIC);
}

/* The store's id of a set; 0 if it has none and none is to be added. */
static int set_id(struct writer *writer, uint32_t index, uint32_t *id)
{
	*id = writer->ids[index];
	if (*id)
		return 0;
	set_bind(writer, writer->set_find, index);
	int code = sqlite3_step(writer->set_find);
	int64_t found = code == SQLITE_ROW ? sqlite3_column_int64(writer->set_find, 0) : 0;
	sqlite3_reset(writer->set_find);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		return store_failed(writer->store);
	if (!found && writer->adds_sets) {
		set_bind(writer, writer->set_add, index);
		int rc = statement_run(writer->store, writer->set_add);
		if (rc)
			return rc;
		found = sqlite3_last_insert_rowid(writer->store->db);
	}
	writer->ids[index] = *id = (uint32_t)found;
	return 0;
}

/* --- writing --- */

static int number_write(struct writer *writer, const struct bulk_number *number)
{
	struct span header;
	struct bulk_set set = bulk_set_get(writer->bulk, number->set, &header);
	int64_t before = writer->store->number_count;
	uint32_t id;
	int rc = set_id(writer, number->set, &id);

	if (rc)
		return rc;
	sqlite3_bind_int64(writer->number, 1, (int64_t)number->e164);
	sqlite3_bind_int64(writer->number, 2, id);
	sqlite3_bind_int64(writer->number, 3, writer->bulk->account_ids[set.account]);
	rc = statement_run(writer->store, writer->number);
	if (rc)
		return rc;
	if (writer->store->number_count > before)
		writer->bulk->added++;
	else if (sqlite3_changes(writer->store->db))
		writer->bulk->changed++;
	return 0;
}

static int range_write(struct writer *writer, const struct range *range)
{
	int64_t present;
	uint32_t id;
	int rc = set_id(writer, range->set, &id);

	if (rc == 0)
		rc = store_integer(writer->store, &present, "SELECT 1 FROM number_range WHERE first = ? AND last = ?",
				   "ii", (int64_t)range->first, (int64_t)range->last);
	if (rc && rc != -ENOENT)
		return rc;
	bool added = rc == -ENOENT;
	sqlite3_bind_int64(writer->range, 1, (int64_t)range->first);
	sqlite3_bind_int64(writer->range, 2, (int64_t)range->last);
	sqlite3_bind_int64(writer->range, 3, id);
	rc = statement_run(writer->store, writer->range);
	if (rc == 0 && added)
		writer->bulk->ranges_added++;
	else if (rc == 0 && sqlite3_changes(writer->store->db))
		writer->bulk->ranges_changed++;
	return rc;
}

/* Accounts may have gone since the rows were checked, or come again with another integer. */
static int accounts_refresh(struct bulk *bulk, struct store *store)
{
	struct bulk fresh = {0};
	int rc = bulk_init(&fresh, bulk->progress, store);

	for (uint32_t i = 0; i < bulk->accounts.count && rc == 0; i++) {
		uint32_t index;
		bulk->account_ids[i] = text_pool_find(&fresh.accounts, text_pool_get(&bulk->accounts, i), &index) == 0
					       ? fresh.account_ids[index]
					       : 0;
	}
	bulk_finish(&fresh);
	return rc;
}

static int accounts_check(struct bulk *bulk, struct store *store)
{
	int rc = accounts_refresh(bulk, store);

	for (uint32_t i = 0; i < bulk->sets.count && rc == 0; i++) {
		struct span header;
		struct bulk_set set = bulk_set_get(bulk, i, &header);
		struct span account = text_pool_get(&bulk->accounts, set.account);
		if (bulk->account_ids[set.account])
			continue;
		snprintf(store->error, sizeof(store->error), "account %.*s was deleted meanwhile", SPAN_ARGS(account));
		rc = -ENOENT;
	}
	for (size_t i = 0; i < bulk->ranges.count && rc == 0; i++) {
		struct span header;
		bulk->ranges.list[i].account =
			bulk->account_ids[bulk_set_get(bulk, bulk->ranges.list[i].set, &header).account];
	}
	return rc;
}

/* Sets are added in the order of numbers and then ranges, so that a replay of the log gives them the same ids. */
int bulk_apply(struct bulk *bulk, struct store *store, bool again)
{
	struct writer writer;
	int rc = accounts_check(bulk, store);

	if (rc == 0 && again)
		rc = bulk_check(bulk, store);
	if (rc || bulk->fault_count)
		return rc;
	rc = writer_init(&writer, bulk, store);
	writer.adds_sets = true;
	for (size_t i = 0; i < bulk->count && rc == 0; i++) {
		rc = number_write(&writer, &bulk->numbers[i]);
		if (i % STEP)
			continue;
		bulk_advance(bulk->progress, i);
		if (rc == 0 && bulk_cancelled(bulk->progress))
			rc = -ECANCELED;
	}
	for (size_t i = 0; i < bulk->ranges.count && rc == 0; i++)
		rc = range_write(&writer, &bulk->ranges.list[i]);
	writer_finish(&writer);
	return rc;
}

/* --- comparing --- */

static int number_compare(struct writer *writer, const struct bulk_number *number, sqlite3_stmt *present)
{
	uint32_t id;
	int rc = set_id(writer, number->set, &id);

	if (rc)
		return rc;
	sqlite3_bind_int64(present, 1, (int64_t)number->e164);
	int code = sqlite3_step(present);
	if (code == SQLITE_DONE)
		writer->bulk->added++;
	else if (code == SQLITE_ROW && sqlite3_column_int64(present, 0) != id)
		writer->bulk->changed++;
	sqlite3_reset(present);
	return code == SQLITE_DONE || code == SQLITE_ROW ? 0 : store_failed(writer->store);
}

static int range_compare(struct writer *writer, const struct range *range)
{
	int64_t present = 0;
	uint32_t id;
	int rc = set_id(writer, range->set, &id);

	if (rc == 0)
		rc = store_integer(writer->store, &present,
				   "SELECT attribute_set FROM number_range WHERE first = ? AND last = ?", "ii",
				   (int64_t)range->first, (int64_t)range->last);
	if (rc == -ENOENT)
		writer->bulk->ranges_added++;
	else if (rc == 0 && present != id)
		writer->bulk->ranges_changed++;
	return rc == -ENOENT ? 0 : rc;
}

int bulk_compare(struct bulk *bulk, struct store *store)
{
	sqlite3_stmt *present = NULL;
	struct writer writer;
	int rc = writer_init(&writer, bulk, store);

	if (rc == 0)
		rc = statement_new(store, &present, "SELECT attribute_set FROM number WHERE e164 = ?");
	for (size_t i = 0; i < bulk->count && rc == 0; i++) {
		rc = number_compare(&writer, &bulk->numbers[i], present);
		if (i % STEP == 0)
			bulk_advance(bulk->progress, i);
		if (rc == 0 && bulk_cancelled(bulk->progress))
			rc = -ECANCELED;
	}
	for (size_t i = 0; i < bulk->ranges.count && rc == 0; i++)
		rc = range_compare(&writer, &bulk->ranges.list[i]);
	sqlite3_finalize(present);
	writer_finish(&writer);
	return rc;
}
