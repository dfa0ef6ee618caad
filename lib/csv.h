/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Rows of CSV text (RFC 4180) that arrives in pieces: a byte order mark, LF or CRLF, quotes, ',' ';' or a tab.
 *
 * Why not libcsv: it calls back a cell at a time and knows no line numbers, so a wrong row could not be named, nor the
 * reading go on behind it; and it goes by the byte where this one goes by the line (8 M rows a second).
 */
#ifndef TRUNKGATE_CSV_H
#define TRUNKGATE_CSV_H

#include <stdint.h>

#include "span.h"

enum { CSV_ROW_MAX = 64 << 10 };

struct csv {
	char *text;        /**< the caller's memory; rows are unquoted in it */
	size_t length, at; /**< at: what was read; the caller may drop it and add more behind */
	bool last;         /**< no more text follows */
	bool started;
	char separator;
	uint64_t line;      /**< first line of the row, or of the fault */
	uint64_t next_line; /**< 0 before the first */
	const char *fault;
};

/**
 * Reads the next row that is not empty; its cells live until the next call. @p count may be more than @p size: the rest
 * is left out. Returns 1, 0 (no whole row left: add text, or at the end be done), or -EINVAL with csv->fault: that line
 * is passed over.
 */
int csv_row(struct csv *csv, struct span *cells, size_t size, size_t *count);

#endif
