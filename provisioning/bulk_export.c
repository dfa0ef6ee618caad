/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Numbers and ranges of the store as a CSV file that bulk_read() takes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bulk.h"
#include "service.h"

enum { BLOCK = 1 << 20, ROW_MAX = 512 };

struct tail {
	uint32_t length;
	char text[]; /* all behind the numbers: ",account,true,false,...,header\n" */
};

struct exporter {
	struct store *store;
	struct bulk_progress *progress;
	const char *account;
	struct tail **tails; /* by set id */
	uint64_t tail_count;
	struct ranges ranges;
	size_t range_next;
	char *block;
	size_t used;
	int file;
	uint64_t rows;
};

static int block_flush(struct exporter *exporter)
{
	for (size_t sent = 0; sent < exporter->used;) {
		ssize_t n = write(exporter->file, exporter->block + sent, exporter->used - sent);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			snprintf(exporter->store->error, STORE_ERROR_SIZE, "the file: %s", strerror(errno));
			return -errno;
		}
		sent += (size_t)n;
	}
	exporter->used = 0;
	bulk_advance(exporter->progress, exporter->rows);
	return bulk_cancelled(exporter->progress) ? -ECANCELED : 0;
}

static int text_write(struct exporter *exporter, const char *text, size_t length)
{
	int rc = exporter->used + length > BLOCK ? block_flush(exporter) : 0;

	memcpy(exporter->block + exporter->used, text, length);
	exporter->used += length;
	return rc;
}

static int header_write(struct exporter *exporter)
{
	char line[ROW_MAX];
	int used = snprintf(line, sizeof(line), "telephoneNumber,telephoneNumberLast,accountName");

	for (const struct service *service = services; service->name; service++)
		used += snprintf(line + used, sizeof(line) - (size_t)used, ",serviceDetails_%s_enabled", service->name);
	used += snprintf(line + used, sizeof(line) - (size_t)used, ",configuration_customSipHeader\n");
	return text_write(exporter, line, (size_t)used);
}

static struct tail *tail_new(sqlite3_stmt *statement)
{
	char text[ROW_MAX];
	int used = snprintf(text, sizeof(text), ",%s", store_text(statement, 1));

	for (const struct service *service = services; service->name; service++)
		used += snprintf(text + used, sizeof(text) - (size_t)used, ",%s",
				 service->id == sqlite3_column_int(statement, 2) ? "true" : "false");
	used += snprintf(text + used, sizeof(text) - (size_t)used, ",%s\n", store_text(statement, 3));
	struct tail *tail = malloc(sizeof(*tail) + (size_t)used);
	if (tail) {
		tail->length = (uint32_t)used;
		memcpy(tail->text, text, (size_t)used);
	}
	return tail;
}

static int tails_read(struct exporter *exporter)
{
	sqlite3_stmt *statement;
	int64_t last = 0;
	int rc = store_integer(exporter->store, &last, "SELECT coalesce(max(id), 0) FROM attribute_set", "");

	if (rc)
		return rc;
	exporter->tail_count = (uint64_t)last + 1;
	exporter->tails = calloc(exporter->tail_count, sizeof(*exporter->tails));
	if (!exporter->tails)
		return -ENOMEM;
	rc = store_select(exporter->store, &statement,
			  "SELECT id, account, service, header FROM attribute_set WHERE ?1 = '' OR account = ?1", "t",
			  exporter->account);
	while (rc == 0 && (rc = store_step(exporter->store, &statement)) > 0) {
		struct tail *tail = tail_new(statement);
		exporter->tails[sqlite3_column_int64(statement, 0)] = tail;
		rc = tail ? 0 : -ENOMEM;
		if (rc)
			sqlite3_finalize(statement);
	}
	return rc;
}

/* "+" and digits, written backwards: snprintf() would take half of the time. */
static size_t number_write(uint64_t e164, char *text)
{
	char digits[24], *at = digits + sizeof(digits);

	do
		*--at = (char)('0' + e164 % 10);
	while (e164 /= 10);
	*--at = '+';
	size_t length = (size_t)(digits + sizeof(digits) - at);
	memcpy(text, at, length);
	return length;
}

static int row_write(struct exporter *exporter, uint64_t first, uint64_t last, uint32_t set)
{
	const struct tail *tail = set < exporter->tail_count ? exporter->tails[set] : NULL;

	if (!tail)
		return 0; /* of another account */
	int rc = BLOCK - exporter->used < ROW_MAX ? block_flush(exporter) : 0;
	char *at = exporter->block + exporter->used;
	at += number_write(first, at);
	*at++ = ',';
	if (last)
		at += number_write(last, at);
	memcpy(at, tail->text, tail->length);
	exporter->used = (size_t)(at + tail->length - exporter->block);
	exporter->rows++;
	return rc;
}

/* The ranges that begin before @p e164 or at it. */
static int ranges_write(struct exporter *exporter, uint64_t e164)
{
	int rc = 0;

	for (; exporter->range_next < exporter->ranges.count && rc == 0; exporter->range_next++) {
		const struct range *range = &exporter->ranges.list[exporter->range_next];
		if (range->first > e164)
			break;
		rc = row_write(exporter, range->first, range->last, range->set);
	}
	return rc;
}

static int numbers_write(struct exporter *exporter)
{
	const char *sql = *exporter->account ? "SELECT e164, attribute_set FROM number"
					       " WHERE account = (SELECT id FROM account WHERE name = ?1) ORDER BY e164"
					     : "SELECT e164, attribute_set FROM number WHERE ?1 = '' ORDER BY e164";
	sqlite3_stmt *statement;
	int rc = store_select(exporter->store, &statement, sql, "t", exporter->account);

	while (rc == 0 && (rc = store_step(exporter->store, &statement)) > 0) {
		uint64_t e164 = (uint64_t)sqlite3_column_int64(statement, 0);
		rc = ranges_write(exporter, e164);
		if (rc == 0)
			rc = row_write(exporter, e164, 0, (uint32_t)sqlite3_column_int64(statement, 1));
		if (rc)
			sqlite3_finalize(statement);
	}
	return rc ? rc : ranges_write(exporter, UINT64_MAX);
}

int bulk_export(struct store *store, struct bulk_progress *progress, const char *account, int file, uint64_t *rows)
{
	struct exporter exporter = {.store = store, .progress = progress, .account = account, .file = file};
	int rc = store_run(store, "BEGIN", ""); /* one state of the store, whatever changes meanwhile */

	exporter.block = malloc(BLOCK);
	if (rc == 0 && !exporter.block)
		rc = -ENOMEM;
	if (rc == 0)
		rc = tails_read(&exporter);
	if (rc == 0)
		rc = ranges_load(store, 0, INT64_MAX, &exporter.ranges);
	if (rc == 0)
		rc = header_write(&exporter);
	if (rc == 0)
		rc = numbers_write(&exporter);
	if (rc == 0)
		rc = block_flush(&exporter);
	store_rollback(store);
	for (uint64_t i = 0; exporter.tails && i < exporter.tail_count; i++)
		free(exporter.tails[i]);
	free(exporter.tails);
	free(exporter.block);
	ranges_finish(&exporter.ranges);
	*rows += exporter.rows;
	return rc;
}
