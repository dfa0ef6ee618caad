/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Many numbers and ranges at once: into the store.
 *
 * What each row comes to is found out before the transaction, so that the store is locked only while rows are written.
 * The digest of numbers is not kept by triggers then, but added up here: a third of the time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bulk.h"
#include "digest.h"

enum { STEP = 1024, KEYS = 4096, SCAN_SHARE = 16 };

/* The digest keys of sets, by index or id; the last ones used. */
struct key {
	uint32_t number; /**< + 1; 0: free */
	uint8_t key[DIGEST_KEY_SIZE];
};

enum statement {
	SET_FIND,
	SET_ADD,
	SET_READ,
	NUMBER_READ,
	NUMBER_ADD,
	NUMBER_CHANGE,
	NUMBER_MOVE,
	RANGE_PUT,
	STATEMENTS
};

static const char *const statement_sql[STATEMENTS] = {
	[SET_FIND] = "SELECT id FROM attribute_set WHERE account = ? AND service = ? AND header = ?",
	[SET_ADD] = "INSERT INTO attribute_set (account, service, header) VALUES (?, ?, ?)",
	[SET_READ] = "SELECT account, service, header FROM attribute_set WHERE id = ?",
	[NUMBER_READ] = "SELECT e164, attribute_set, account FROM number WHERE e164 >= ?1 AND e164 <= ?2 ORDER BY e164",
	[NUMBER_ADD] = "INSERT INTO number (e164, attribute_set, account) VALUES (?1, ?2, ?3)",
	/* without the account: its index stays */
	[NUMBER_CHANGE] = "UPDATE number SET attribute_set = ?2 WHERE e164 = ?1",
	[NUMBER_MOVE] = "UPDATE number SET attribute_set = ?2, account = ?3 WHERE e164 = ?1",
	[RANGE_PUT] = "INSERT INTO number_range (first, last, attribute_set) VALUES (?, ?, ?)"
		      " ON CONFLICT (first, last) DO UPDATE SET attribute_set = excluded.attribute_set"
		      " WHERE attribute_set != excluded.attribute_set",
};

/* What one pass needs. */
struct writer {
	struct bulk *bulk;
	struct store *store;
	sqlite3_stmt *statements[STATEMENTS];
	struct key *ours, *theirs; /* by index of the set; by the store's id */
	bool adds_sets;
};

static void writer_finish(struct writer *writer)
{
	for (size_t i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(writer->statements[i]);
	free(writer->ours);
	free(writer->theirs);
}

static int writer_init(struct writer *writer, struct bulk *bulk, struct store *store)
{
	int rc = 0;

	*writer = (struct writer){.bulk = bulk, .store = store};
	writer->ours = calloc(KEYS, sizeof(*writer->ours));
	writer->theirs = calloc(KEYS, sizeof(*writer->theirs));
	if (!writer->ours || !writer->theirs)
		return -ENOMEM;
	for (size_t i = 0; i < STATEMENTS && rc == 0; i++)
		rc = store_select(store, &writer->statements[i], statement_sql[i], "");
	return rc;
}

static int statement_end(struct writer *writer, enum statement statement, int code)
{
	sqlite3_reset(writer->statements[statement]);
	return code == SQLITE_DONE || code == SQLITE_ROW ? 0 : store_failed(writer->store);
}

static int statement_run(struct writer *writer, enum statement statement)
{
	return statement_end(writer, statement, sqlite3_step(writer->statements[statement]));
}

static int cancel_check(const struct writer *writer, size_t i)
{
	return i % STEP == 0 && bulk_cancelled(writer->bulk->progress) ? -ECANCELED : 0;
}

static int progress_step(struct writer *writer, size_t i)
{
	if (i % STEP == 0)
		bulk_advance(writer->bulk->progress, i);
	return cancel_check(writer, i);
}

/* --- sets --- */

static void set_bind(struct writer *writer, enum statement statement, uint32_t index)
{
	sqlite3_stmt *bound = writer->statements[statement];
	struct span header;
	struct bulk_set set = bulk_set_get(writer->bulk, index, &header);
	struct span account = text_pool_get(&writer->bulk->accounts, set.account);

	sqlite3_bind_text(bound, 1, account.ptr, (int)account.len, SQLITE_STATIC);
	sqlite3_bind_int64(bound, 2, set.service);
	sqlite3_bind_text(bound, 3, header.ptr, (int)header.len, SQLITE_STATIC);
}

/* The store's id of a set; 0 if it has none and none is to be added. */
static int set_id(struct writer *writer, uint32_t index, uint32_t *id)
{
	uint32_t *ids = writer->bulk->ids;

	*id = ids[index];
	if (*id)
		return 0;
	set_bind(writer, SET_FIND, index);
	int code = sqlite3_step(writer->statements[SET_FIND]);
	int64_t found = code == SQLITE_ROW ? sqlite3_column_int64(writer->statements[SET_FIND], 0) : 0;
	int rc = statement_end(writer, SET_FIND, code);
	if (rc == 0 && !found && writer->adds_sets) {
		set_bind(writer, SET_ADD, index);
		rc = statement_run(writer, SET_ADD);
		found = sqlite3_last_insert_rowid(writer->store->db);
	}
	if (rc == 0)
		ids[index] = *id = (uint32_t)found;
	return rc;
}

static const uint8_t *our_key(struct writer *writer, uint32_t index)
{
	struct key *key = &writer->ours[index % KEYS];

	if (key->number != index + 1) {
		struct span header;
		struct bulk_set set = bulk_set_get(writer->bulk, index, &header);
		digest_key(text_pool_get(&writer->bulk->accounts, set.account), (uint16_t)set.service, header,
			   key->key);
		key->number = index + 1;
	}
	return key->key;
}

static int their_key(struct writer *writer, uint32_t id, const uint8_t **found)
{
	struct key *key = &writer->theirs[id % KEYS];
	sqlite3_stmt *statement = writer->statements[SET_READ];

	*found = key->key;
	if (key->number == id + 1)
		return 0;
	sqlite3_bind_int64(statement, 1, id);
	int code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		digest_key(span_of(store_text(statement, 0)), (uint16_t)sqlite3_column_int(statement, 1),
			   span_of(store_text(statement, 2)), key->key);
		key->number = id + 1;
	}
	int rc = statement_end(writer, SET_READ, code);
	return rc ? rc : code == SQLITE_ROW ? 0 : -ENOENT;
}

/* --- comparing --- */

/* Counts in (1) or out (-1) what a number does to the digest and the counts. */
static int number_count(struct writer *writer, const struct bulk_number *number, int sign)
{
	struct bulk *bulk = writer->bulk;
	const uint8_t *theirs = NULL;
	int rc = 0;

	if (number->state == BULK_SAME)
		return 0;
	if (number->state != BULK_NEW)
		rc = their_key(writer, number->present, &theirs);
	if (rc)
		return rc;
	if (theirs)
		digest_number(bulk->digest, -sign, theirs, number->e164);
	digest_number(bulk->digest, sign, our_key(writer, number->set), number->e164);
	*(theirs ? &bulk->changed : &bulk->added) += (uint64_t)(int64_t)sign;
	return 0;
}

/* @p present: what the store has, a set and an account; 0 if nothing. */
static int number_compare(struct writer *writer, struct bulk_number *number, int64_t present, int64_t account)
{
	struct span header;
	struct bulk_set set = bulk_set_get(writer->bulk, number->set, &header);
	uint32_t id;
	int rc = set_id(writer, number->set, &id);

	number->present = (uint32_t)present;
	number->state = !present                                            ? BULK_NEW
			: present == id                                     ? BULK_SAME
			: account == writer->bulk->account_ids[set.account] ? BULK_CHANGED
									    : BULK_MOVED;
	return rc ? rc : number_count(writer, number, 1);
}

/* Few rows in a large store are looked up one by one, many are met by going through the store. */
static int numbers_compare(struct writer *writer)
{
	struct bulk *bulk = writer->bulk;
	sqlite3_stmt *statement = writer->statements[NUMBER_READ];
	bool scan = bulk->count > (uint64_t)writer->store->number_count / SCAN_SHARE;
	int code = SQLITE_DONE, rc = 0;

	if (scan && bulk->count) {
		sqlite3_bind_int64(statement, 1, (int64_t)bulk->numbers[0].e164);
		sqlite3_bind_int64(statement, 2, (int64_t)bulk->numbers[bulk->count - 1].e164);
		code = sqlite3_step(statement);
	}
	for (size_t i = 0; i < bulk->count && rc == 0; i++) {
		struct bulk_number *number = &bulk->numbers[i];
		int64_t e164 = (int64_t)number->e164;
		if (!scan) {
			sqlite3_reset(statement);
			sqlite3_bind_int64(statement, 1, e164);
			sqlite3_bind_int64(statement, 2, e164);
			code = sqlite3_step(statement);
		}
		while (code == SQLITE_ROW && sqlite3_column_int64(statement, 0) < e164)
			code = sqlite3_step(statement);
		bool there = code == SQLITE_ROW && sqlite3_column_int64(statement, 0) == e164;
		if (code != SQLITE_ROW && code != SQLITE_DONE)
			rc = store_failed(writer->store);
		if (rc == 0)
			rc = number_compare(writer, number, there ? sqlite3_column_int64(statement, 1) : 0,
					    there ? sqlite3_column_int64(statement, 2) : 0);
		if (rc == 0)
			rc = progress_step(writer, i);
	}
	sqlite3_reset(statement);
	return rc;
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

static int ranges_compare(struct writer *writer)
{
	struct bulk *bulk = writer->bulk;
	int rc = 0;

	bulk->ranges_added = bulk->ranges_changed = 0;
	for (size_t i = 0; i < bulk->ranges.count && rc == 0; i++) {
		rc = range_compare(writer, &bulk->ranges.list[i]);
		if (rc == 0)
			rc = cancel_check(writer, i);
	}
	return rc;
}

static int all_compare(struct writer *writer)
{
	struct bulk *bulk = writer->bulk;

	free(bulk->ids);
	bulk->ids = calloc((size_t)bulk->sets.count + 1, sizeof(*bulk->ids));
	if (!bulk->ids)
		return -ENOMEM;
	bulk->digest[0] = bulk->digest[1] = bulk->added = bulk->changed = 0;
	bulk->revision = writer->store->revision;
	int rc = numbers_compare(writer);
	if (rc == 0)
		rc = ranges_compare(writer);
	bulk->compared = rc == 0;
	return rc;
}

int bulk_compare(struct bulk *bulk, struct store *store)
{
	struct writer writer;
	int rc = store_run(store, "BEGIN", ""); /* one state of the store, whatever changes meanwhile */

	if (rc == 0)
		rc = store_refresh(store);
	if (rc == 0) {
		rc = writer_init(&writer, bulk, store);
		if (rc == 0)
			rc = all_compare(&writer);
		writer_finish(&writer);
	}
	store_rollback(store);
	return rc;
}

uint64_t bulk_sets_new(const struct bulk *bulk)
{
	uint64_t count = 0;

	for (uint32_t i = 0; bulk->ids && i < bulk->sets.count; i++)
		count += bulk->ids[i] == 0;
	return count;
}

/* --- what has changed since --- */

/* Accounts may have gone since the rows were read, or come again with another integer: then @p other is set. */
static int accounts_refresh(struct bulk *bulk, struct store *store, bool *other)
{
	struct bulk fresh = {0};
	int rc = bulk_init(&fresh, bulk->progress, store);

	for (uint32_t i = 0; i < bulk->accounts.count && rc == 0; i++) {
		uint32_t index;
		bool there = text_pool_find(&fresh.accounts, text_pool_get(&bulk->accounts, i), &index) == 0;
		int64_t id = there ? fresh.account_ids[index] : 0;
		*other = *other || id != bulk->account_ids[i];
		bulk->account_ids[i] = id;
	}
	bulk_finish(&fresh);
	return rc;
}

static int accounts_check(struct bulk *bulk, struct store *store, bool *other)
{
	int rc = accounts_refresh(bulk, store, other);

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

static int number_search(const void *key, const void *element)
{
	const uint64_t *e164 = key;
	const struct bulk_number *number = element;

	return *e164 < number->e164 ? -1 : *e164 > number->e164;
}

static int number_again(struct writer *writer, uint64_t e164)
{
	struct bulk *bulk = writer->bulk;
	sqlite3_stmt *statement = writer->statements[NUMBER_READ];
	struct bulk_number *number = bsearch(&e164, bulk->numbers, bulk->count, sizeof(*number), number_search);
	int rc = number ? number_count(writer, number, -1) : 0;

	if (rc || !number)
		return rc;
	sqlite3_bind_int64(statement, 1, (int64_t)e164);
	sqlite3_bind_int64(statement, 2, (int64_t)e164);
	int code = sqlite3_step(statement);
	int64_t present = code == SQLITE_ROW ? sqlite3_column_int64(statement, 1) : 0;
	int64_t account = code == SQLITE_ROW ? sqlite3_column_int64(statement, 2) : 0;
	rc = statement_end(writer, NUMBER_READ, code);
	return rc ? rc : number_compare(writer, number, present, account);
}

/* The numbers that the change log names since then. */
static int numbers_again(struct writer *writer)
{
	sqlite3_stmt *statement;
	int rc = store_select(writer->store, &statement,
			      "SELECT DISTINCT json_extract(arguments, '$[0]') FROM change_log WHERE revision > ?"
			      " AND operation IN ('number_set', 'number_delete')",
			      "i", (int64_t)writer->bulk->revision);

	while (rc == 0 && (rc = store_step(writer->store, &statement)) > 0) {
		uint64_t e164;
		rc = number_parse(span_of(store_text(statement, 0)), &e164);
		if (rc == 0)
			rc = number_again(writer, e164);
		if (rc)
			sqlite3_finalize(statement);
	}
	return rc;
}

/*
 * Where single numbers changed these are looked at again, else all: an account that was deleted and set again has the
 * same integer as before, but its sets are gone.
 */
static int changes_meet(struct writer *writer, bool other_accounts)
{
	struct bulk *bulk = writer->bulk;
	int64_t wholes = 0;

	if (bulk->compared && bulk->revision == writer->store->revision && !other_accounts)
		return 0;
	int rc = store_integer(writer->store, &wholes,
			       "SELECT count(*) FROM change_log WHERE revision > ?"
			       " AND operation NOT IN " STORE_SMALL_CHANGES,
			       "i", (int64_t)bulk->revision);
	if (rc == 0 && bulk->compared)
		rc = bulk_ranges_check(bulk, writer->store);
	if (rc || (bulk->fault_count && !bulk->skip_bad))
		return rc;
	if (!bulk->compared || other_accounts || wholes)
		return all_compare(writer);
	rc = numbers_again(writer);
	if (rc == -ENOENT) /* a set has gone */
		return all_compare(writer);
	return rc ? rc : ranges_compare(writer);
}

/* --- writing --- */

static int number_write(struct writer *writer, const struct bulk_number *number)
{
	static const enum statement by_state[] = {
		[BULK_NEW] = NUMBER_ADD, [BULK_CHANGED] = NUMBER_CHANGE, [BULK_MOVED] = NUMBER_MOVE};
	enum statement statement = by_state[number->state];
	sqlite3_stmt *bound = writer->statements[statement];
	struct span header;
	uint32_t id;
	int rc = set_id(writer, number->set, &id);

	sqlite3_bind_int64(bound, 1, (int64_t)number->e164);
	sqlite3_bind_int64(bound, 2, id);
	if (statement != NUMBER_CHANGE)
		sqlite3_bind_int64(bound, 3,
				   writer->bulk->account_ids[bulk_set_get(writer->bulk, number->set, &header).account]);
	return rc ? rc : statement_run(writer, statement);
}

static int range_write(struct writer *writer, const struct range *range)
{
	sqlite3_stmt *bound = writer->statements[RANGE_PUT];
	uint32_t id;
	int rc = set_id(writer, range->set, &id);

	sqlite3_bind_int64(bound, 1, (int64_t)range->first);
	sqlite3_bind_int64(bound, 2, (int64_t)range->last);
	sqlite3_bind_int64(bound, 3, id);
	return rc ? rc : statement_run(writer, RANGE_PUT);
}

/* Sets are added in the order of numbers and then ranges, so that a replay of the log gives them the same ids. */
static int rows_write(struct writer *writer)
{
	struct bulk *bulk = writer->bulk;
	int rc = 0;

	writer->adds_sets = true;
	for (size_t i = 0; i < bulk->count && rc == 0; i++) {
		if (bulk->numbers[i].state != BULK_SAME)
			rc = number_write(writer, &bulk->numbers[i]);
		if (rc == 0)
			rc = progress_step(writer, i);
	}
	for (size_t i = 0; i < bulk->ranges.count && rc == 0; i++) {
		rc = range_write(writer, &bulk->ranges.list[i]);
		if (rc == 0)
			rc = cancel_check(writer, i);
	}
	return rc;
}

static int numbers_write(struct writer *writer)
{
	const struct bulk *bulk = writer->bulk;
	struct store *store = writer->store;
	int rc = digest_numbers_drop(store);

	if (rc == 0)
		rc = rows_write(writer);
	if (rc == 0)
		rc = digest_numbers_add(store);
	if (rc == 0) {
		digest_sum(store->digest, bulk->digest);
		store->number_count += (int64_t)bulk->added;
	}
	return rc;
}

int bulk_apply(struct bulk *bulk, struct store *store)
{
	struct writer writer;
	bool other_accounts = false;
	int rc = accounts_check(bulk, store, &other_accounts);

	if (rc)
		return rc;
	rc = writer_init(&writer, bulk, store);
	if (rc == 0)
		rc = changes_meet(&writer, other_accounts);
	if (rc == 0 && (!bulk->fault_count || bulk->skip_bad))
		rc = numbers_write(&writer);
	writer_finish(&writer);
	return rc;
}

/* --- into the table --- */

static int set_publish(const struct bulk *bulk, struct number_table *table, uint32_t index)
{
	struct span header;
	struct bulk_set set = bulk_set_get(bulk, index, &header);

	return number_table_add_set(table, bulk->ids[index], (uint16_t)set.service,
				    text_pool_get(&bulk->accounts, set.account), header);
}

int bulk_publish(const struct bulk *bulk, struct store *store, struct number_table *table)
{
	enum { AHEAD = 16 };
	int rc = 0;

	for (uint32_t i = 0; i < bulk->sets.count && rc == 0; i++)
		rc = bulk->ids[i] ? set_publish(bulk, table, i) : 0;
	for (size_t i = 0; i < bulk->count && rc == 0; i++) {
		const struct bulk_number *number = &bulk->numbers[i];
		if (i + AHEAD < bulk->count)
			number_table_prefetch(table, bulk->numbers[i + AHEAD].e164);
		if (number->state != BULK_SAME)
			rc = number_table_put(table, number->e164, bulk->ids[number->set]);
		if (i % STEP == 0)
			bulk_advance(bulk->progress, i);
	}
	if (rc == 0 && bulk->ranges_added + bulk->ranges_changed)
		rc = ranges_publish(store, table);
	return rc == 0 && number_table_size(table) != (uint64_t)store->number_count ? -ESTALE : rc;
}
