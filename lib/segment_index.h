/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Nested ranges as segments that follow one another, in a static B-tree: leaves of one cache line (five starts and
 * what stands for their sets) and inner nodes of two (16 keys). A look-up in 100,000 ranges reads one line that is not
 * in a nearby cache. Readers take no lock: whatever the memory holds meanwhile, a look-up ends and stays in it.
 */
#ifndef TRUNKGATE_SEGMENT_INDEX_H
#define TRUNKGATE_SEGMENT_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "number_table.h"

/** Sorted ranges, and what stands for the set of each: not 0. */
struct segment_source {
	const struct number_range *ranges;
	size_t count;
	uint32_t (*value)(const void *context, uint32_t set);
	const void *context;
};

/** Most segments that @p bytes of memory hold. */
uint64_t segment_index_room(uint64_t bytes);

/** Bytes that the index of @p count segments takes, a multiple of a cache line. */
uint64_t segment_index_size(uint64_t count);

/**
 * Writes the index of sorted ranges into zeroed memory that begins with a page. Returns 0 with the count of segments,
 * or -ENOSPC, -EINVAL, -E2BIG as number_table_set_ranges().
 */
int segment_index_write(void *memory, uint64_t bytes, const struct segment_source *source, uint64_t *count);

/** The leaf that holds the segment around a number, on its way into the cache; @p count as it was written, not 0. */
const void *segment_index_leaf(const void *memory, uint64_t count, uint64_t e164);

/** The value of the segment around a number, or 0. */
uint32_t segment_leaf_value(const void *leaf, uint64_t e164);

#endif
