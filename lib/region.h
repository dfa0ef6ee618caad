/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The shared region: one stretch of memory that trunkgate-worker writes and every Kamailio process reads.
 *
 * Kamailio maps it read-only before it forks, the worker maps it for writing; it holds offsets, never pointers.
 * Pages that nobody wrote take no memory. Layout:
 *
 *   header | topology slots | half 0 (attribute sets, numbers) | half 1
 *
 * Numbers and attribute sets live in one half at a time; a rebuild fills the other and swaps one root word.
 */
#ifndef TRUNKGATE_REGION_H
#define TRUNKGATE_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { REGION_STORE_ID_SIZE = 37 }; /**< UUID text and NUL */

struct region;

/** Smallest size that region_format() takes, and the one used if the operator names none (sparse). */
extern const size_t region_size_min;
extern const size_t region_size_default;

/** Writer: lays out zeroed or earlier formatted memory. Returns 0, -EINVAL (too small), -EPROTO (another layout). */
int region_format(void *memory, size_t size, struct region **region);

/** Reader: takes memory that may not be formatted yet; the look-ups then answer -EAGAIN. */
const struct region *region_view(const void *memory, size_t size);

/** Writer: names the store and revision that the region now shows. */
void region_set_revision(struct region *region, const char *store_id, uint64_t revision);

/** Has the writer published all that there is? Until then look-ups may answer -EAGAIN. */
bool region_published(const struct region *region);

/** What was last named, or revision 0 and "" before that. */
uint64_t region_revision(const struct region *region, char store_id[REGION_STORE_ID_SIZE]);

#endif
