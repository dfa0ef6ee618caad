/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Where things stand in the shared region. For the files of lib/ that read and write it; nobody else includes it. */
#ifndef TRUNKGATE_REGION_LAYOUT_H
#define TRUNKGATE_REGION_LAYOUT_H

#include <stdatomic.h>
#include <stdint.h>

#include "number_table.h"
#include "region.h"

enum {
	REGION_LAYOUT = 5,
	TOPOLOGY_SLOTS = 4,
	NUMBER_HALVES = 2,
	RANGE_SLOTS = 2,
	BUCKET_KEYS = 5,
};

/** An area of the region: offset from its start and size, both multiples of a page. */
struct area {
	uint64_t offset, size;
};

/**
 * One cache line. A number that finds its bucket full stands in one of the next, and leaves a bit in each that it
 * passed: a look-up goes on only where its number's bit is set, so that one line is nearly always enough.
 */
struct bucket {
	_Atomic uint64_t key[BUCKET_KEYS];    /**< 0: free, and none follows; BUCKET_DELETED; else the number */
	_Atomic uint32_t record[BUCKET_KEYS]; /**< place in the heap / HEAP_UNIT */
	_Atomic uint32_t passed;              /**< bits of the numbers that stand further on */
};
_Static_assert(sizeof(struct bucket) == 64, "a bucket is one cache line");
#define BUCKET_DELETED UINT64_MAX

/** What one half holds. */
struct half {
	struct area directory; /**< _Atomic uint32_t by set id: place in the heap / HEAP_UNIT; 0: no such set */
	struct area heap;      /**< union set_record */
	struct area buckets;
	struct area segments[RANGE_SLOTS]; /**< segment_index.h */
	_Atomic uint64_t count, heap_used;
	_Atomic uint64_t builds; /**< tables begun here: the writer's own earlier one knows that it was given up */
	/** generation << 32 | number of segments; they stand in slot generation % RANGE_SLOTS */
	_Atomic uint64_t range_root;
};

enum { HEAP_UNIT = 4 };

/**
 * An attribute set; the last NUL is not stored. Written and read in words, because a reader may come late. Once it is
 * in use it does not change, but for account_length: 0 when it was dropped.
 */
union set_record {
	struct attribute_set set;
	uint32_t word[(sizeof(struct attribute_set) + HEAP_UNIT - 1) / HEAP_UNIT];
};

struct region {
	_Atomic uint64_t magic; /**< REGION_MAGIC once the areas below stand */
	uint64_t layout, size;
	struct area topology[TOPOLOGY_SLOTS];
	struct half half[NUMBER_HALVES];
	/** generation << 33 | half << 32 | number of buckets; 0: nothing published */
	_Atomic uint64_t number_root;
	/** generation of the picture; it stands in slot generation % TOPOLOGY_SLOTS; 0: none */
	_Atomic uint64_t topology_root;
	_Atomic uint64_t revision_sequence; /**< odd while the two below change */
	_Atomic uint64_t revision;
	_Atomic uint64_t store_id[(REGION_STORE_ID_SIZE + 7) / 8];
};

#define REGION_MAGIC 0x455441474b4e5254ull /* "TRNKGATE" */

static inline uint32_t root_buckets(uint64_t root)
{
	return (uint32_t)root;
}

static inline unsigned root_half(uint64_t root)
{
	return (unsigned)(root >> 32) & 1;
}

static inline uint64_t root_generation(uint64_t root)
{
	return root >> 33;
}

static inline uint64_t range_generation(uint64_t ranges)
{
	return ranges >> 32;
}

static inline unsigned range_slot(uint64_t ranges)
{
	return (unsigned)(range_generation(ranges) % RANGE_SLOTS);
}

static inline uint32_t range_segments(uint64_t ranges)
{
	return (uint32_t)ranges;
}

static inline void *region_at(const struct region *region, uint64_t offset)
{
	return (char *)(uintptr_t)region + offset;
}

/** True once the writer has formatted the region. */
static inline int region_ready(const struct region *region)
{
	return atomic_load_explicit(&region->magic, memory_order_acquire) == REGION_MAGIC;
}

/** Gives the pages of an area back; it reads as zeros afterwards. */
void region_discard(struct region *region, const struct area *area);

#endif
