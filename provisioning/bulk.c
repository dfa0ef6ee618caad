/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Many numbers and ranges at once: the rows, order, checks. */
#include "bulk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void bulk_finish(struct bulk *bulk)
{
	free(bulk->numbers);
	free(bulk->account_ids);
	free(bulk->ids);
	free(bulk->faults);
	ranges_finish(&bulk->ranges);
	text_pool_finish(&bulk->sets);
	text_pool_finish(&bulk->accounts);
	*bulk = (struct bulk){0};
}

int bulk_init(struct bulk *bulk, struct bulk_progress *progress, struct store *store)
{
	sqlite3_stmt *statement;
	int64_t count = 0;
	uint32_t index;

	*bulk = (struct bulk){.progress = progress};
	int rc = store_integer(store, &count, "SELECT count(*) FROM account", "");
	if (rc)
		return rc;
	bulk->account_ids = calloc((size_t)count + 1, sizeof(*bulk->account_ids));
	if (!bulk->account_ids)
		return -ENOMEM;
	rc = store_select(store, &statement, "SELECT name, id FROM account ORDER BY name LIMIT ?", "i", count);
	while (rc == 0 && (rc = store_step(store, &statement)) > 0) {
		rc = text_pool_add(&bulk->accounts, span_of(store_text(statement, 0)), &index);
		if (rc)
			sqlite3_finalize(statement);
		else
			bulk->account_ids[index] = sqlite3_column_int64(statement, 1);
	}
	return rc;
}

int bulk_refuse(struct bulk *bulk, uint64_t line, const char *column, const char *format, ...)
{
	va_list arguments;

	bulk->fault_count++;
	if (bulk->fault_kept == BULK_FAULTS_MAX)
		return 0;
	if (bulk->fault_kept == bulk->fault_room) {
		size_t room = bulk->fault_room ? bulk->fault_room * 2 : 64;
		struct bulk_fault *faults = realloc(bulk->faults, room * sizeof(*faults));
		if (!faults)
			return -ENOMEM;
		bulk->faults = faults;
		bulk->fault_room = room;
	}
	struct bulk_fault *fault = &bulk->faults[bulk->fault_kept++];
	fault->line = line;
	snprintf(fault->column, sizeof(fault->column), "%s", column);
	va_start(arguments, format);
	vsnprintf(fault->reason, sizeof(fault->reason), format, arguments);
	va_end(arguments);
	return 0;
}

int bulk_set_add(struct bulk *bulk, const struct bulk_set *set, struct span header, uint32_t *index)
{
	char key[sizeof(*set) + FIELD_NAME_MAX];

	if (header.len > FIELD_NAME_MAX)
		return -EINVAL;
	memcpy(key, set, sizeof(*set));
	if (header.len)
		memcpy(key + sizeof(*set), header.ptr, header.len);
	return text_pool_add(&bulk->sets, (struct span){key, sizeof(*set) + header.len}, index);
}

struct bulk_set bulk_set_get(const struct bulk *bulk, uint32_t index, struct span *header)
{
	struct span key = text_pool_get(&bulk->sets, index);
	struct bulk_set set;

	memcpy(&set, key.ptr, sizeof(set));
	*header = (struct span){key.ptr + sizeof(set), key.len - sizeof(set)};
	return set;
}

int bulk_number_add(struct bulk *bulk, const struct bulk_number *number)
{
	if (bulk->count == bulk->room) {
		size_t room = bulk->room ? bulk->room * 2 : 1024;
		struct bulk_number *numbers = realloc(bulk->numbers, room * sizeof(*numbers));
		if (!numbers)
			return -ENOMEM;
		bulk->numbers = numbers;
		bulk->room = room;
	}
	bulk->numbers[bulk->count++] = *number;
	return 0;
}

/* --- order and checks --- */

static int number_compare(const void *left, const void *right)
{
	const struct bulk_number *a = left, *b = right;

	if (a->e164 != b->e164)
		return a->e164 < b->e164 ? -1 : 1;
	return a->line < b->line ? -1 : a->line > b->line;
}

static void numbers_sort(struct bulk *bulk)
{
	for (size_t i = 1; i < bulk->count; i++) {
		if (number_compare(&bulk->numbers[i - 1], &bulk->numbers[i]) > 0) {
			qsort(bulk->numbers, bulk->count, sizeof(*bulk->numbers), number_compare);
			return;
		}
	}
}

/* Of the same number the first one stays. */
static int numbers_check(struct bulk *bulk)
{
	size_t kept = bulk->count ? 1 : 0;
	int rc = 0;

	for (size_t i = 1; i < bulk->count && rc == 0; i++) {
		if (bulk->numbers[i].e164 != bulk->numbers[kept - 1].e164) {
			bulk->numbers[kept++] = bulk->numbers[i];
			continue;
		}
		bulk->skipped++;
		rc = bulk_refuse(bulk, bulk->numbers[i].line, "telephoneNumber",
				 "the same number stands in line %u already", bulk->numbers[kept - 1].line);
	}
	bulk->count = kept;
	return rc;
}

/* Rows that were reported in one pass. */
struct range_report {
	struct bulk *bulk;
	uint32_t *lines;
	size_t count, room;
};

static int range_report(void *context, const struct range *range, const struct range *other, const char *reason)
{
	struct range_report *report = context;
	const struct range *row = range->line ? range : other, *against = range->line ? other : range;
	char text[RANGE_TEXT_SIZE], place[32] = "the store";

	if (report->count == report->room) {
		size_t room = report->room ? report->room * 2 : 64;
		uint32_t *lines = realloc(report->lines, room * sizeof(*lines));
		if (!lines)
			return -ENOMEM;
		report->lines = lines;
		report->room = room;
	}
	report->lines[report->count++] = row->line;
	range_format(against->first, against->last, text);
	if (against->line)
		snprintf(place, sizeof(place), "line %u", against->line);
	return bulk_refuse(report->bulk, row->line, "telephoneNumber", "%s %s in %s", reason, text, place);
}

static int line_compare(const void *left, const void *right)
{
	const uint32_t *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

/* Returns how many. */
static size_t ranges_leave_out(struct bulk *bulk, struct range_report *report)
{
	size_t kept = 0, count = bulk->ranges.count;

	qsort(report->lines, report->count, sizeof(*report->lines), line_compare);
	for (size_t i = 0; i < bulk->ranges.count; i++)
		if (!bsearch(&bulk->ranges.list[i].line, report->lines, report->count, sizeof(*report->lines),
			     line_compare))
			bulk->ranges.list[kept++] = bulk->ranges.list[i];
	bulk->skipped += count - kept;
	bulk->ranges.count = kept;
	return count - kept;
}

/* Those of the store stand among those of the file, but are not kept there. */
static int ranges_check_once(struct bulk *bulk, struct store *store, struct range_report *report)
{
	struct ranges all = {0};
	int rc = bulk->ranges.count ? ranges_load(store, 0, INT64_MAX, &all) : 0;

	for (size_t i = 0; i < bulk->ranges.count && rc == 0; i++)
		rc = ranges_add(&all, &bulk->ranges.list[i]);
	if (rc == 0) {
		ranges_sort(&all);
		rc = ranges_check(&all, range_report, report);
	}
	ranges_finish(&all);
	return rc;
}

static int fault_compare(const void *left, const void *right)
{
	const struct bulk_fault *a = left, *b = right;

	return a->line < b->line ? -1 : a->line > b->line;
}

/* Without the rows that were reported, others may meet that had these between them. */
int bulk_ranges_check(struct bulk *bulk, struct store *store)
{
	struct range_report report = {.bulk = bulk};
	size_t left_out;
	int rc = 0;

	do {
		report.count = 0;
		rc = bulk_cancelled(bulk->progress) ? -ECANCELED : ranges_check_once(bulk, store, &report);
		left_out = rc == 0 && report.count ? ranges_leave_out(bulk, &report) : 0;
		if (rc == 0 && report.count && !left_out) { /* another program wrote them */
			snprintf(store->error, sizeof(store->error), "the store's own ranges do not go together");
			rc = -EPROTO;
		}
	} while (left_out && bulk->skip_bad);
	free(report.lines);
	if (bulk->fault_kept > 1)
		qsort(bulk->faults, bulk->fault_kept, sizeof(*bulk->faults), fault_compare);
	return rc;
}

int bulk_check(struct bulk *bulk, struct store *store)
{
	numbers_sort(bulk);
	ranges_sort(&bulk->ranges);
	int rc = numbers_check(bulk);
	if (rc == 0)
		rc = bulk_ranges_check(bulk, store);
	return rc;
}
