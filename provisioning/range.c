/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Ranges of numbers: what may stand beside and inside what. */
#include "range.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void ranges_finish(struct ranges *ranges)
{
	free(ranges->list);
	*ranges = (struct ranges){0};
}

int ranges_add(struct ranges *ranges, const struct range *range)
{
	if (ranges->count == ranges->size) {
		size_t size = ranges->size ? ranges->size * 2 : 64;
		struct range *list = realloc(ranges->list, size * sizeof(*list));
		if (!list)
			return -ENOMEM;
		ranges->list = list;
		ranges->size = size;
	}
	ranges->list[ranges->count++] = *range;
	return 0;
}

int ranges_load(struct store *store, uint64_t first, uint64_t last, struct ranges *ranges)
{
	sqlite3_stmt *statement;
	int rc = store_select(store, &statement,
			      "SELECT r.first, r.last, r.attribute_set, a.id FROM number_range r"
			      " CROSS JOIN attribute_set s ON s.id = r.attribute_set"
			      " CROSS JOIN account a ON a.name = s.account"
			      " WHERE r.first <= ? AND r.last >= ? ORDER BY r.first, r.last DESC",
			      "ii", (int64_t)last, (int64_t)first);

	while (rc == 0 && (rc = store_step(store, &statement)) > 0) {
		struct range range = {.first = (uint64_t)sqlite3_column_int64(statement, 0),
				      .last = (uint64_t)sqlite3_column_int64(statement, 1),
				      .set = (uint32_t)sqlite3_column_int64(statement, 2),
				      .account = sqlite3_column_int64(statement, 3)};
		rc = ranges_add(ranges, &range);
		if (rc)
			sqlite3_finalize(statement);
	}
	return rc;
}

static int range_compare(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	if (a->first != b->first)
		return a->first < b->first ? -1 : 1;
	if (a->last != b->last)
		return a->last > b->last ? -1 : 1;
	return a->line < b->line ? -1 : a->line > b->line;
}

void ranges_sort(struct ranges *ranges)
{
	if (ranges->count > 1)
		qsort(ranges->list, ranges->count, sizeof(*ranges->list), range_compare);
}

/* Why @p range may not start where @p around has not ended yet. */
static const char *range_conflict(const struct range *range, const struct range *around)
{
	if (range->last > around->last)
		return "overlaps in part with";
	if (range->account != around->account)
		return "overlaps, of another account, with";
	if (range->first == around->first && range->last == around->last && around->line)
		return "is the same as";
	return NULL;
}

/* One that a file brings, if there is one: what stands in the store already cannot be left out. */
static const struct range *range_of_file(const struct range *const *open, unsigned depth)
{
	for (unsigned i = depth; i-- > 0;)
		if (open[i]->line)
			return open[i];
	return open[depth - 1];
}

int ranges_check(const struct ranges *ranges,
		 int (*report)(void *context, const struct range *range, const struct range *other, const char *reason),
		 void *context)
{
	const struct range *open[NUMBER_RANGE_DEPTH];
	unsigned depth = 0;
	int rc = 0;

	for (size_t i = 0; i < ranges->count && rc == 0; i++) {
		const struct range *range = &ranges->list[i];
		while (depth && open[depth - 1]->last < range->first)
			depth--;
		const struct range *around = depth ? open[depth - 1] : NULL;
		const char *reason = around ? range_conflict(range, around) : NULL;
		bool again = around && range->first == around->first && range->last == around->last;
		if (!reason && !again && depth == NUMBER_RANGE_DEPTH) {
			around = range->line ? around : range_of_file(open, depth);
			reason = range->line ? "is nested too deep in" : "nests too deep with";
		}
		if (reason)
			rc = report(context, range, around, reason);
		else if (again)
			open[depth - 1] = range; /* takes the place of the store's */
		else
			open[depth++] = range;
	}
	return rc;
}

const char *range_fault_text(uint64_t first, uint64_t last)
{
	char low[NUMBER_TEXT_SIZE], high[NUMBER_TEXT_SIZE];

	number_format(first, low);
	number_format(last, high);
	if (strlen(low) != strlen(high))
		return "must have as many digits as the first number";
	return last < first ? "is before the first number" : NULL;
}

void range_format(uint64_t first, uint64_t last, char text[RANGE_TEXT_SIZE])
{
	char high[NUMBER_TEXT_SIZE];

	number_format(first, text);
	number_format(last, high);
	size_t used = strlen(text);
	snprintf(text + used, RANGE_TEXT_SIZE - used, "-%s", high);
}

static int sets_add(struct store *store, struct number_table *table)
{
	sqlite3_stmt *statement;
	int rc = store_select(store, &statement,
			      "SELECT id, service, account, header FROM attribute_set"
			      " WHERE id IN (SELECT attribute_set FROM number_range)",
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

static int ranges_read(struct store *store, struct number_range *list, size_t size, size_t *count)
{
	sqlite3_stmt *statement;
	int rc = store_select(store, &statement,
			      "SELECT first, last, attribute_set FROM number_range ORDER BY first, last DESC", "");

	while (rc == 0 && (rc = store_step(store, &statement)) > 0) {
		if (*count < size)
			list[(*count)++] = (struct number_range){.first = (uint64_t)sqlite3_column_int64(statement, 0),
								 .last = (uint64_t)sqlite3_column_int64(statement, 1),
								 .set = (uint32_t)sqlite3_column_int64(statement, 2)};
		rc = 0;
	}
	return rc;
}

int ranges_publish(struct store *store, struct number_table *table)
{
	int64_t size = 0;
	size_t count = 0;
	int rc = store_integer(store, &size, "SELECT count(*) FROM number_range", "");

	if (rc)
		return rc;
	struct number_range *list = calloc((size_t)size + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	rc = size ? sets_add(store, table) : 0;
	if (rc == 0)
		rc = ranges_read(store, list, (size_t)size, &count);
	if (rc == 0)
		rc = number_table_set_ranges(table, list, count);
	free(list);
	return rc;
}
