/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Rows of CSV text. */
#include "csv.h"

#include <errno.h>

static bool starts_with(const struct csv *csv, const char *bytes, size_t length)
{
	return csv->length - csv->at >= length && memcmp(csv->text + csv->at, bytes, length) == 0;
}

/* Some of the world's spreadsheets write ';' because ',' is their decimal point. */
static char separator_of(const char *line, size_t length)
{
	if (memchr(line, ',', length))
		return ',';
	return memchr(line, ';', length) ? ';' : memchr(line, '\t', length) ? '\t' : ',';
}

static bool text_start(struct csv *csv)
{
	const char *end = csv->length ? memchr(csv->text, '\n', csv->length) : NULL;

	if (!end && !csv->last && csv->length < CSV_ROW_MAX)
		return false;
	csv->next_line = 1;
	csv->started = true;
	if (starts_with(csv, "\xef\xbb\xbf", 3))
		csv->at += 3;
	size_t length = end ? (size_t)(end - csv->text) : csv->length;
	csv->separator = separator_of(csv->text + csv->at, length - csv->at);
	return true;
}

static int row_fault(struct csv *csv, const char *fault)
{
	char *line = csv->text + csv->at;
	char *end = memchr(line, '\n', csv->length - csv->at);

	csv->at = end ? (size_t)(end + 1 - csv->text) : csv->length;
	csv->next_line = csv->line + 1;
	csv->fault = fault;
	return -EINVAL;
}

/* Where a row with quotes ends: at the first line end outside of them; NULL if there is none. */
static char *quoted_end(char *at, const char *limit, uint64_t *lines)
{
	bool inside = false;

	for (; at < limit; at++) {
		if (*at == '"')
			inside = !inside;
		else if (*at == '\n' && !inside)
			return at;
		else if (*at == '\n')
			++*lines;
	}
	return NULL;
}

static void cell_add(struct span *cells, size_t size, size_t *count, char *start, const char *end)
{
	if (*count < size)
		cells[*count] = (struct span){start, (size_t)(end - start)};
	++*count;
}

static void plain_split(char *at, char *end, char separator, struct span *cells, size_t size, size_t *count)
{
	*count = 0;
	for (;;) {
		char *stop = memchr(at, separator, (size_t)(end - at));
		cell_add(cells, size, count, at, stop ? stop : end);
		if (!stop)
			return;
		at = stop + 1;
	}
}

/* Takes the quotes off a cell that begins with one; returns what follows it, or NULL. */
static char *quoted_cell(char *at, char *end, char **cell_end)
{
	char *to = at;

	for (at++; at < end; at++) {
		if (*at != '"')
			*to++ = *at;
		else if (at + 1 < end && at[1] == '"')
			*to++ = *at++;
		else
			break;
	}
	*cell_end = to;
	return at < end ? at + 1 : NULL;
}

static const char *quoted_split(char *at, char *end, char separator, struct span *cells, size_t size, size_t *count)
{
	*count = 0;
	for (;;) {
		char *stop = NULL, *cell_end;
		if (at < end && *at == '"') {
			stop = quoted_cell(at, end, &cell_end);
			if (!stop)
				return "has a quote that is not closed";
			if (stop < end && *stop != separator)
				return "has text behind a closing quote";
		} else {
			stop = memchr(at, separator, (size_t)(end - at));
			cell_end = stop = stop ? stop : end;
			if (memchr(at, '"', (size_t)(stop - at)))
				return "has a quote inside of a cell that is not in quotes";
		}
		cell_add(cells, size, count, at, cell_end);
		if (stop == end)
			return NULL;
		at = stop + 1;
	}
}

/* Returns 1, 0 or -EINVAL as csv_row(). */
static int row_split(struct csv *csv, char *end, bool quotes, uint64_t lines, struct span *cells, size_t size,
		     size_t *count)
{
	char *start = csv->text + csv->at, *stop = end;
	const char *fault = NULL;

	if (stop > start && stop[-1] == '\r')
		stop--;
	if (memchr(start, '\0', (size_t)(stop - start)))
		return row_fault(csv, "has a NUL character: is it UTF-16? save it as UTF-8");
	if (quotes)
		fault = quoted_split(start, stop, csv->separator, cells, size, count);
	else
		plain_split(start, stop, csv->separator, cells, size, count);
	if (fault)
		return row_fault(csv, fault);
	csv->at = (size_t)(end - csv->text) + (end < csv->text + csv->length);
	csv->next_line = csv->line + lines;
	return 1;
}

/* A row that is not whole yet; too long a one would otherwise wait for ever for its closing quote. */
static int row_wait(struct csv *csv, bool quotes)
{
	if (!csv->last && csv->length - csv->at < CSV_ROW_MAX)
		return 0;
	return row_fault(csv, quotes ? "has a quote that is not closed" : "is longer than 64 KB");
}

static int row_read(struct csv *csv, struct span *cells, size_t size, size_t *count)
{
	char *start = csv->text + csv->at, *limit = csv->text + csv->length;
	char *end = memchr(start, '\n', (size_t)(limit - start));
	uint64_t lines = 1;

	if (!end && !csv->last)
		return row_wait(csv, false);
	end = end ? end : limit;
	if (end - start > CSV_ROW_MAX)
		return row_fault(csv, "is longer than 64 KB");
	bool quotes = memchr(start, '"', (size_t)(end - start)) != NULL;
	if (quotes) {
		const char *window = limit - start > CSV_ROW_MAX ? start + CSV_ROW_MAX : limit;
		end = quoted_end(start, window, &lines);
		/* the last row needs no line end; whether its quotes are closed is seen when it is split */
		if (!end && (!csv->last || window != limit))
			return row_wait(csv, true);
		end = end ? end : limit;
	}
	return row_split(csv, end, quotes, lines, cells, size, count);
}

int csv_row(struct csv *csv, struct span *cells, size_t size, size_t *count)
{
	if (!csv->started && !text_start(csv))
		return 0;
	while (csv->at < csv->length) {
		csv->line = csv->next_line;
		int rc = row_read(csv, cells, size, count);
		if (rc != 1 || *count > 1 || cells[0].len > 0)
			return rc;
	}
	return 0;
}
