/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Store -> shared region. */
#include "publisher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "range.h"
#include "snapshot.h"
#include "topology_store.h"

void publisher_change_finish(struct publisher_change *change)
{
	free(change->dropped);
	change->dropped = NULL;
}

static int sets_add(struct store *store, struct number_table *table)
{
	sqlite3_stmt *statement;
	int rc = store_select(store, &statement, "SELECT id, service, account, header FROM attribute_set ORDER BY id",
			      "");

	while (rc == 0 && (rc = store_step(store, &statement)) > 0) {
		rc = number_table_add_set(table, (uint32_t)sqlite3_column_int64(statement, 0),
					  (uint16_t)sqlite3_column_int(statement, 1), span_of(store_text(statement, 2)),
					  span_of(store_text(statement, 3)));
		if (rc)
			sqlite3_finalize(statement);
	}
	return rc;
}

static int numbers_put(struct store *store, struct number_table *table)
{
	sqlite3_stmt *statement;
	int rc = store_select(store, &statement, "SELECT e164, attribute_set FROM number", "");

	while (rc == 0 && (rc = store_step(store, &statement)) > 0) {
		rc = number_table_put(table, (uint64_t)sqlite3_column_int64(statement, 0),
				      (uint32_t)sqlite3_column_int64(statement, 1));
		if (rc)
			sqlite3_finalize(statement);
	}
	return rc;
}

static int table_build(struct region *region, struct store *store, int64_t count, struct number_table **built)
{
	struct number_table *table = NULL;
	int rc = number_table_new(region, (uint64_t)count, &table);

	if (rc == 0)
		rc = sets_add(store, table);
	if (rc == 0)
		rc = numbers_put(store, table);
	if (rc == 0)
		rc = ranges_publish(store, table);
	if (rc) {
		number_table_free(table);
		return rc;
	}
	*built = table;
	return 0;
}

/* Rows that another program wrote are not in the kept count. */
int publisher_build(struct region *region, struct store *store, struct number_table **table)
{
	int64_t count = 0;
	int rc = table_build(region, store, store->number_count, table);

	if (rc != -ENOSPC)
		return rc;
	rc = store_integer(store, &count, "SELECT count(*) FROM number", "");
	return rc ? rc : count > store->number_count ? table_build(region, store, count, table) : -ENOSPC;
}

static void table_take(struct publisher *publisher, struct number_table *table)
{
	number_table_publish(table);
	number_table_free(publisher->table);
	publisher->table = table;
}

void publisher_swap(struct publisher *publisher, struct store *store, struct number_table *table, int rc)
{
	publisher->stale = publisher->stale || rc != 0;
	if (rc)
		return;
	table_take(publisher, table);
	if (!publisher->stale)
		region_set_revision(publisher->region, store->id, store->revision);
}

int publisher_rebuild(struct publisher *publisher, struct store *store)
{
	struct number_table *table = NULL;
	int rc = topology_store_publish(store, publisher->region, publisher->region_name, publisher->names);

	if (rc == 0)
		rc = publisher_build(publisher->region, store, &table);
	publisher->stale = rc != 0;
	if (rc)
		return rc;
	table_take(publisher, table);
	region_set_revision(publisher->region, store->id, store->revision);
	return 0;
}

int publisher_start(struct publisher *publisher, struct store *store, uint64_t *revision, char reason[256])
{
	struct number_table *table = NULL;
	uint64_t changes = 0;
	int rc = topology_store_publish(store, publisher->region, publisher->region_name, publisher->names);

	*revision = 0;
	if (rc || snapshot_read(store, publisher->region, &table, &changes, reason))
		return rc ? rc : publisher_rebuild(publisher, store);
	if (number_table_size(table) == (uint64_t)store->number_count) {
		table_take(publisher, table);
		region_set_revision(publisher->region, store->id, store->revision);
		*revision = store->revision - changes;
		return 0;
	}
	number_table_free(table);
	snprintf(reason, 256, "it has another count of numbers than the store");
	return publisher_rebuild(publisher, store);
}

static int number_put(struct publisher *publisher, const struct publisher_change *change)
{
	int rc = number_table_add_set(publisher->table, change->set, change->service, span_of(change->account),
				      span_of(change->header));

	return rc ? rc : number_table_put(publisher->table, change->e164, change->set);
}

static int change_apply(struct publisher *publisher, struct store *store, const struct publisher_change *change)
{
	switch (change->kind) {
	case CHANGE_NUMBER_SET:
		return number_put(publisher, change);
	case CHANGE_NUMBER_DELETE:
		number_table_delete(publisher->table, change->e164);
		return 0;
	case CHANGE_SETS_DROPPED:
		for (size_t i = 0; i < change->dropped_count; i++)
			number_table_drop_set(publisher->table, change->dropped[i]);
		return 0;
	case CHANGE_RANGES:
		return ranges_publish(store, publisher->table);
	case CHANGE_TOPOLOGY:
		return topology_store_publish(store, publisher->region, publisher->region_name, publisher->names);
	default:
		return 0;
	}
}

int publisher_apply(struct publisher *publisher, struct store *store, const struct publisher_change *change)
{
	if (publisher->stale || !publisher->table)
		return publisher_rebuild(publisher, store);
	int rc = change_apply(publisher, store, change);
	if (rc == -ENOSPC && (change->kind == CHANGE_NUMBER_SET || change->kind == CHANGE_RANGES))
		return publisher_rebuild(publisher, store);
	publisher->stale = rc != 0;
	if (rc == 0)
		region_set_revision(publisher->region, store->id, store->revision);
	return rc;
}

void publisher_finish(struct publisher *publisher)
{
	number_table_free(publisher->table);
	publisher->table = NULL;
}
