/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Ranges of numbers: what may stand beside and inside what.
 *
 * Ranges of one account may nest, and the narrower wins; those of different accounts may not overlap; a partial overlap
 * is never allowed. first and last have the same number of digits, so ranges of different lengths never meet.
 */
#ifndef TRUNKGATE_RANGE_H
#define TRUNKGATE_RANGE_H

#include "number.h"
#include "number_table.h"
#include "store.h"

enum { RANGE_TEXT_SIZE = 2 * NUMBER_TEXT_SIZE };

struct range {
	uint64_t first, last;
	int64_t account; /**< the store's integer */
	uint32_t set;    /**< 0: not known yet */
	uint32_t line;   /**< of a file; 0: it stands in the store */
};

struct ranges {
	struct range *list;
	size_t count, size;
};

void ranges_finish(struct ranges *ranges);

/** Returns 0 or -ENOMEM. */
int ranges_add(struct ranges *ranges, const struct range *range);

/** Adds the ranges of the store that touch first..last, in order. */
int ranges_load(struct store *store, uint64_t first, uint64_t last, struct ranges *ranges);

/** By first; at the same first the wider one before the narrower; of the same the one of the store first. */
void ranges_sort(struct ranges *ranges);

/**
 * Reports each pair of sorted ranges that may not stand together: @p report gets the one that comes later, the other
 * one and the reason; unless it returns 0, that ends the search and is returned.
 */
int ranges_check(const struct ranges *ranges,
		 int (*report)(void *context, const struct range *range, const struct range *other, const char *reason),
		 void *context);

/** Why first..last is no range; NULL if it is one. */
const char *range_fault_text(uint64_t first, uint64_t last);

/** Writes "+<first>-+<last>". */
void range_format(uint64_t first, uint64_t last, char text[RANGE_TEXT_SIZE]);

/** Puts the store's ranges into a table, with their sets. Returns 0 or -errno. */
int ranges_publish(struct store *store, struct number_table *table);

#endif
