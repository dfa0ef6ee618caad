/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The number table: E.164 number -> attribute set, in the shared region.
 *
 * Readers take no lock. The one writer changes single aligned words, so it may be killed anywhere. An exact number
 * beats a range; of nested ranges the narrower wins.
 */
#ifndef TRUNKGATE_NUMBER_TABLE_H
#define TRUNKGATE_NUMBER_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "field.h"
#include "region.h"
#include "span.h"

/** One attribute set, copied out of the region. */
struct attribute_set {
	uint32_t id;      /**< the store's id, never used again for other content; 0 = none */
	uint16_t service; /**< service.h */
	uint8_t account_length, header_length;
	char account[2 * (FIELD_NAME_MAX + 1)]; /**< and its NUL; behind it the header value and its NUL */
};

/** The value of the custom header; "" = none. */
static inline const char *attribute_set_header(const struct attribute_set *set)
{
	return set->account + set->account_length + 1;
}

/** Returns 0, or -EINVAL: no id, no account, or a text that is too long. */
int attribute_set_make(struct attribute_set *set, uint32_t id, uint16_t service, struct span account,
		       struct span header);

/** Returns 0, -ENOENT (not provisioned) or -EAGAIN (nothing published yet). */
int number_table_find(const struct region *region, uint64_t e164, struct attribute_set *set);

/** The set itself, for later requests of a dialog. Returns as number_table_find(). */
int number_table_set(const struct region *region, uint32_t id, struct attribute_set *set);

/** Numbers in the published table. */
uint64_t number_table_count(const struct region *region);

/**
 * Goes through the exact numbers of the published table, in no order: start with *cursor = 0. Returns 1 with a number,
 * 0 at the end, -EAGAIN if nothing is published. Numbers that change meanwhile may be missed.
 */
int number_table_next(const struct region *region, uint64_t *cursor, uint64_t *e164, uint32_t *set);

/** The writer. It keeps no memory of its own but this struct; one per process. */
struct number_table;

/**
 * Starts a new, unpublished table with room for @p expected numbers and some growth. The published one must not change
 * before the new one is published or freed.
 * Returns 0, -ENOMEM or -ENOSPC (the region is too small).
 */
int number_table_new(struct region *region, uint64_t expected, struct number_table **table);
void number_table_free(struct number_table *table);

/** Adds an attribute set; the same id again is fine. Returns 0 or -ENOSPC. */
int number_table_add_set(struct number_table *table, uint32_t id, uint16_t service, struct span account,
			 struct span header);

/** Takes a set away (its account was deleted). */
void number_table_drop_set(struct number_table *table, uint32_t id);

/**
 * Adds or changes a number; its set must have been added. A published table grows by itself, a piece with each call; it
 * is then in two places, until calls enough have been made. Returns 0 or -ENOSPC (the region is full).
 */
int number_table_put(struct number_table *table, uint64_t e164, uint32_t set);

/** Brings what a later number_table_put() of this number reads into the cache. */
void number_table_prefetch(const struct number_table *table, uint64_t e164);

/** Takes a number away; one that is not there is fine. */
void number_table_delete(struct number_table *table, uint64_t e164);

/**
 * A copy that nobody sees yet, with room for @p expected numbers; @p table must not change before the copy is published
 * or freed. Returns as number_table_new().
 */
int number_table_copy(struct number_table *table, uint64_t expected, struct number_table **copy);

/** Exact numbers in it. */
uint64_t number_table_size(const struct number_table *table);

enum { NUMBER_RANGE_DEPTH = 32 }; /**< ranges inside one another */

/** first..last, both included. */
struct number_range {
	uint64_t first, last;
	uint32_t set;
};

/**
 * Puts all ranges in force at once, also in a published table; their sets must have been added. They are sorted by
 * first, at the same first the wider one before the narrower. Returns 0, -ENOSPC, -EINVAL (two overlap in part, or one
 * is upside down) or -E2BIG (nested too deep); on an error the earlier ones stay in force.
 */
int number_table_set_ranges(struct number_table *table, const struct number_range *ranges, size_t count);

/**
 * The memory of a table, to be kept in a file: first the buckets, then the directory of the sets, then the sets.
 *
 * A published table may be copied while it changes, in this order: what the buckets name is in the directory, and what
 * that names is among the sets. Each number is then as it was at some moment of the copying; ranges are not in it.
 */
enum number_image_part { NUMBER_IMAGE_BUCKETS, NUMBER_IMAGE_DIRECTORY, NUMBER_IMAGE_SETS, NUMBER_IMAGE_PARTS };

struct number_image {
	uint64_t root;                     /**< which table it is of */
	uint64_t size[NUMBER_IMAGE_PARTS]; /**< bytes */
};

/** Starts the image of the published table. Returns 0 or -EAGAIN. */
int number_image_start(const struct region *region, struct number_image *image);

/** A part as it is now, and its size in the image; @p sets is the highest id of a set. */
const void *number_image_part(const struct region *region, struct number_image *image, enum number_image_part part,
			      uint32_t sets);

/** False if another table was published meanwhile: what was copied is worth nothing. */
bool number_image_current(const struct region *region, const struct number_image *image);

/**
 * Starts a new, unpublished table of the sizes of an image. Its parts are filled through number_image_room(), and then
 * number_image_end() counts the numbers. Return 0, -ENOMEM, -ENOSPC, or -EINVAL for sizes that no table has, or one so
 * full that a search would not end.
 */
int number_image_new(struct region *region, const struct number_image *image, struct number_table **table);
void *number_image_room(struct number_table *table, enum number_image_part part);
int number_image_end(struct number_table *table, const struct number_image *image);

/** Makes @p table what every look-up sees, and gives the memory of the one before back. */
void number_table_publish(struct number_table *table);

#endif
