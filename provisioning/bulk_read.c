/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Rows of a CSV file in the columns of the Number Management Portal. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "bulk.h"
#include "csv.h"
#include "service.h"

enum { CELLS_MAX = 64, BLOCK = 1 << 20, COLUMN_NAME_MAX = 96 };

enum column_kind {
	COLUMN_NUMBER,
	COLUMN_LAST,
	COLUMN_ACCOUNT,
	COLUMN_HEADER,
	COLUMN_ENABLED,
	COLUMN_FALSE,
	COLUMN_EMPTY
};

struct column {
	char name[COLUMN_NAME_MAX];
	enum column_kind kind;
	const struct service *service; /* of COLUMN_ENABLED */
};

struct reader {
	struct bulk *bulk;
	struct csv csv;
	struct column columns[CELLS_MAX];
	size_t column_count;
	struct span cells[CELLS_MAX];
	/* What the last row had: most rows have the same as the one before. */
	char account[FIELD_NAME_MAX], header[FIELD_NAME_MAX];
	struct span last_account, last_header;
	const struct service *last_service;
	uint32_t last_set, last_account_index;
	uint64_t line;
	uint64_t faults; /* before this row */
};

/* --- columns --- */

static struct span trim(struct span cell)
{
	while (cell.len && (cell.ptr[0] == ' ' || cell.ptr[0] == '\t'))
		cell = (struct span){cell.ptr + 1, cell.len - 1};
	while (cell.len && (cell.ptr[cell.len - 1] == ' ' || cell.ptr[cell.len - 1] == '\t'))
		cell.len--;
	return cell;
}

/* serviceDetails_<service>_...: the reference also has columns for what the services keep themselves. */
static int service_column(struct column *column)
{
	static const char prefix[] = "serviceDetails_";
	char *name = column->name + sizeof(prefix) - 1;

	if (strncmp(column->name, prefix, sizeof(prefix) - 1) != 0)
		return -ENOENT;
	if (strcmp(name, "azureOperatorCallProtection_enabled") == 0)
		return column->kind = COLUMN_FALSE, 0;
	char *end = strchr(name, '_');
	column->service = end ? service_by_name((struct span){name, (size_t)(end - name)}) : NULL;
	if (!column->service)
		return -ENOENT;
	if (strcmp(end, "_enabled") == 0)
		return column->kind = COLUMN_ENABLED, 0;
	column->kind = COLUMN_EMPTY;
	return strcmp(end, "_assignmentStatus") == 0 || strncmp(end, "_configuration_", 15) == 0 ? 0 : -ENOENT;
}

static int column_read(struct column *column)
{
	static const struct {
		const char *name;
		enum column_kind kind;
	} plain[] = {{"telephoneNumber", COLUMN_NUMBER},
		     {"telephoneNumberLast", COLUMN_LAST},
		     {"accountName", COLUMN_ACCOUNT},
		     {"configuration_customSipHeader", COLUMN_HEADER}};

	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		if (strcmp(column->name, plain[i].name) == 0)
			return column->kind = plain[i].kind, 0;
	return service_column(column);
}

static bool column_present(const struct reader *reader, const char *name)
{
	for (size_t i = 0; i < reader->column_count; i++)
		if (strcmp(reader->columns[i].name, name) == 0)
			return true;
	return false;
}

static int column_add(struct reader *reader, struct span cell)
{
	struct column column = {0};

	cell = trim(cell);
	snprintf(column.name, sizeof(column.name), "%.*s", SPAN_ARGS(cell));
	for (char *c = column.name; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	uint64_t line = reader->csv.line;
	int rc = 0;
	if (column_present(reader, column.name))
		rc = bulk_refuse(reader->bulk, line, column.name, "is there twice");
	else if (column_read(&column))
		rc = bulk_refuse(reader->bulk, line, column.name[0] ? column.name : "(no name)",
				 "is not a column that this gateway knows");
	reader->columns[reader->column_count++] = column;
	return rc;
}

static int columns_read(struct reader *reader, size_t count)
{
	static const char *const required[] = {"telephoneNumber", "accountName"};
	int rc = 0;

	if (count > CELLS_MAX)
		return bulk_refuse(reader->bulk, reader->csv.line, "header", "has more than %d columns", CELLS_MAX);
	/* spreadsheets leave empty columns behind the last */
	while (count > 1 && trim(reader->cells[count - 1]).len == 0)
		count--;
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = column_add(reader, reader->cells[i]);
	for (size_t i = 0; i < 2 && rc == 0; i++)
		if (!column_present(reader, required[i]))
			rc = bulk_refuse(reader->bulk, reader->csv.line, required[i],
					 "is missing: the first row must name the columns");
	return rc;
}

/* --- cells --- */

/* Why a number is refused, in the words of who uses a spreadsheet. */
static const char *number_reason(struct span cell)
{
	bool digits = cell.len > 0;

	for (size_t i = 0; i < cell.len; i++)
		digits = digits && isdigit((unsigned char)cell.ptr[i]);
	if (digits)
		return "has no '+': a spreadsheet takes it away unless the column is formatted as text";
	if (cell.len && isdigit((unsigned char)cell.ptr[0]) && memchr(cell.ptr, 'E', cell.len))
		return "a spreadsheet made a rounded number of it: format the column as text and enter it again";
	return number_fault(cell);
}

static int number_cell(struct reader *reader, const struct column *column, struct span cell, uint64_t *e164)
{
	char text[32], quoted[32];

	if (cell.len && cell.ptr[0] == '\'') /* marks text in a spreadsheet */
		cell = (struct span){cell.ptr + 1, cell.len - 1};
	if (number_parse(cell, e164) == 0)
		return 0;
	snprintf(text, sizeof(text), "%.*s", SPAN_ARGS(cell));
	return bulk_refuse(reader->bulk, reader->line, column->name, "'%s' %s",
			   fault_quote(text, quoted, sizeof(quoted)), number_reason(cell));
}

static bool cell_is(struct span cell, const char *word)
{
	return cell.len == strlen(word) && strncasecmp(cell.ptr, word, cell.len) == 0;
}

struct row {
	uint64_t first, last;
	bool is_range;
	struct span account, header;
	const struct service *service;
};

static int enabled_cell(struct reader *reader, const struct column *column, struct span cell, struct row *row)
{
	bool on = cell_is(cell, "true");

	if (!on && cell.len && !cell_is(cell, "false"))
		return bulk_refuse(reader->bulk, reader->line, column->name, "must be true or false");
	if (!on)
		return 0;
	if (column->kind == COLUMN_FALSE)
		return bulk_refuse(reader->bulk, reader->line, column->name,
				   "is not a service that this gateway can carry calls to");
	if (row->service)
		return bulk_refuse(reader->bulk, reader->line, column->name,
				   "%s is enabled too: one service carries the calls of a number", row->service->name);
	row->service = column->service;
	return 0;
}

static int cell_read(struct reader *reader, const struct column *column, struct span cell, struct row *row)
{
	switch (column->kind) {
	case COLUMN_NUMBER:
		return number_cell(reader, column, cell, &row->first);
	case COLUMN_LAST:
		row->is_range = cell.len > 0;
		return row->is_range ? number_cell(reader, column, cell, &row->last) : 0;
	case COLUMN_ACCOUNT:
		row->account = cell;
		return 0;
	case COLUMN_HEADER:
		row->header = cell;
		return 0;
	case COLUMN_EMPTY:
		return cell.len == 0 ? 0
				     : bulk_refuse(reader->bulk, reader->line, column->name,
						   "is not kept by this gateway: leave it empty");
	default:
		return enabled_cell(reader, column, cell, row);
	}
}

/* --- rows --- */

static int account_find(struct reader *reader, struct span account)
{
	if (account.len && span_equal(account, reader->last_account))
		return 0;
	reader->last_set = UINT32_MAX;
	reader->last_account.len = 0;
	if (account.len && account.len <= FIELD_NAME_MAX &&
	    text_pool_find(&reader->bulk->accounts, account, &reader->last_account_index) == 0) {
		memcpy(reader->account, account.ptr, account.len);
		reader->last_account = (struct span){reader->account, account.len};
		return 0;
	}
	char text[48], quoted[48];
	snprintf(text, sizeof(text), "%.*s", SPAN_ARGS(account));
	return bulk_refuse(reader->bulk, reader->line, "accountName",
			   account.len ? "there is no account '%s'" : "is empty%s",
			   fault_quote(text, quoted, sizeof(quoted)));
}

static int header_check(struct reader *reader, const struct row *row)
{
	const char *reason = row->header.len ? field_name_fault(row->header) : NULL;

	if (reason)
		return bulk_refuse(reader->bulk, reader->line, "configuration_customSipHeader", "%s", reason);
	if (row->header.len && !row->service->custom_header)
		return bulk_refuse(reader->bulk, reader->line, "configuration_customSipHeader",
				   "%s carries no custom header", row->service->name);
	return 0;
}

static int set_find(struct reader *reader, const struct row *row)
{
	if (reader->last_set != UINT32_MAX && row->service == reader->last_service &&
	    span_equal(row->header, reader->last_header))
		return 0;
	struct bulk_set set = {.account = reader->last_account_index, .service = row->service->id};
	int rc = bulk_set_add(reader->bulk, &set, row->header, &reader->last_set);
	reader->last_service = row->service;
	memcpy(reader->header, row->header.ptr, row->header.len);
	reader->last_header = (struct span){reader->header, row->header.len};
	return rc;
}

static int row_add(struct reader *reader, const struct row *row)
{
	uint32_t line = reader->line > UINT32_MAX ? UINT32_MAX : (uint32_t)reader->line;

	if (!row->is_range)
		return bulk_number_add(
			reader->bulk, &(struct bulk_number){.e164 = row->first, .set = reader->last_set, .line = line});
	const char *reason = range_fault_text(row->first, row->last);
	if (reason)
		return bulk_refuse(reader->bulk, reader->line, "telephoneNumberLast", "%s", reason);
	struct range range = {.first = row->first,
			      .last = row->last,
			      .account = reader->bulk->account_ids[reader->last_account_index],
			      .set = reader->last_set,
			      .line = line};
	return ranges_add(&reader->bulk->ranges, &range);
}

static bool row_empty(const struct reader *reader, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (reader->cells[i].len)
			return false;
	return true;
}

static int cells_read(struct reader *reader, size_t count, struct row *row)
{
	int rc = 0;

	for (size_t i = 0; i < reader->column_count && rc == 0; i++)
		rc = cell_read(reader, &reader->columns[i], i < count ? trim(reader->cells[i]) : (struct span){0}, row);
	for (size_t i = reader->column_count; i < count && rc == 0; i++)
		if (i == CELLS_MAX || reader->cells[i].len)
			return bulk_refuse(reader->bulk, reader->line, "row",
					   "has %zu cells, but there are %zu columns", count, reader->column_count);
	return rc;
}

static int row_read(struct reader *reader, size_t count)
{
	struct row row = {.header = {"", 0}};

	reader->line = reader->csv.line;
	reader->faults = reader->bulk->fault_count;
	if (row_empty(reader, count < CELLS_MAX ? count : CELLS_MAX))
		return 0;
	int rc = cells_read(reader, count, &row);
	if (rc == 0)
		rc = account_find(reader, row.account);
	if (rc == 0 && !row.service && reader->faults == reader->bulk->fault_count)
		rc = bulk_refuse(reader->bulk, reader->line, "serviceDetails", "no service is enabled");
	if (rc == 0 && row.service)
		rc = header_check(reader, &row);
	if (rc || reader->faults != reader->bulk->fault_count)
		return rc;
	rc = set_find(reader, &row);
	return rc ? rc : row_add(reader, &row);
}

/* A row that is refused counts once, whatever is wrong with it. */
static int row_take(struct reader *reader, int whole, size_t count)
{
	size_t faults = reader->bulk->fault_count;
	int rc = whole < 0 ? bulk_refuse(reader->bulk, reader->csv.line, "row", "%s", reader->csv.fault)
			   : row_read(reader, count);

	reader->bulk->skipped += reader->bulk->fault_count != faults;
	return rc;
}

static int rows_read(struct reader *reader)
{
	size_t count;
	int rc;

	while ((rc = csv_row(&reader->csv, reader->cells, CELLS_MAX, &count)) != 0) {
		bool first = !reader->column_count;
		rc = first && rc > 0 ? columns_read(reader, count) : row_take(reader, rc, count);
		if (rc)
			return rc;
		if (first && reader->bulk->fault_count) {
			reader->bulk->unreadable = true; /* wrong columns make every row wrong */
			return -EINVAL;
		}
	}
	return 0;
}

/* What was read moves out, more comes in behind the rest. */
static int text_refill(struct reader *reader, int file, uint64_t *total)
{
	struct csv *csv = &reader->csv;

	csv->length -= csv->at;
	memmove(csv->text, csv->text + csv->at, csv->length);
	csv->at = 0;
	ssize_t n = read(file, csv->text + csv->length, BLOCK);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	csv->length += (size_t)n;
	csv->last = n == 0;
	*total += (uint64_t)n;
	bulk_advance(reader->bulk->progress, *total);
	return bulk_cancelled(reader->bulk->progress) ? -ECANCELED : 0;
}

int bulk_read(struct bulk *bulk, int file)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	uint64_t total = 0;
	int rc = 0;

	if (!reader)
		return -ENOMEM;
	reader->bulk = bulk;
	reader->last_set = UINT32_MAX;
	/* a row that is not whole is shorter than CSV_ROW_MAX: csv_row() has refused it otherwise */
	reader->csv.text = malloc(BLOCK + 2 * CSV_ROW_MAX);
	if (!reader->csv.text)
		rc = -ENOMEM;
	while (rc == 0 && !reader->csv.last) {
		rc = text_refill(reader, file, &total);
		if (rc == 0)
			rc = rows_read(reader);
	}
	if (rc == -EINVAL)
		rc = 0;
	if (rc == 0 && !reader->column_count && !bulk->fault_count) {
		bulk->unreadable = true;
		rc = bulk_refuse(bulk, 1, "header", "the file is empty");
	}
	free(reader->csv.text);
	free(reader);
	return rc;
}
