/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The shared region: areas, and the store and revision that it shows. */
#include "region_layout.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

const size_t region_size_min = (size_t)64 << 20;
const size_t region_size_default = (size_t)32 << 30;

/* Shares of the region in 128ths: two halves, and the four slots of the topology. */
enum { DIRECTORY_SHARE = 7, HEAP_SHARE = 24, BUCKETS_SHARE = 24, SEGMENTS_SHARE = 2, SLOT_SHARE = 2 };

_Static_assert(2 * (DIRECTORY_SHARE + HEAP_SHARE + BUCKETS_SHARE + RANGE_SLOTS * SEGMENTS_SHARE) +
			       TOPOLOGY_SLOTS * SLOT_SHARE <
		       128,
	       "the shares leave room for the header");

static struct area area_take(uint64_t *next, uint64_t total, unsigned share)
{
	struct area area = {.offset = *next, .size = total / 128 * share / PAGE * PAGE};
	*next += area.size;
	return area;
}

static void lay_out(struct region *region, size_t size)
{
	uint64_t next = PAGE;
	region->layout = REGION_LAYOUT;
	region->size = size;
	for (unsigned i = 0; i < TOPOLOGY_SLOTS; i++)
		region->topology[i] = area_take(&next, size, SLOT_SHARE);
	for (unsigned i = 0; i < NUMBER_HALVES; i++) {
		region->half[i].directory = area_take(&next, size, DIRECTORY_SHARE);
		region->half[i].heap = area_take(&next, size, HEAP_SHARE);
		region->half[i].buckets = area_take(&next, size, BUCKETS_SHARE);
		for (unsigned k = 0; k < RANGE_SLOTS; k++)
			region->half[i].segments[k] = area_take(&next, size, SEGMENTS_SHARE);
	}
	atomic_store_explicit(&region->magic, REGION_MAGIC, memory_order_release);
}

int region_format(void *memory, size_t size, struct region **region)
{
	struct region *r = memory;
	if (size < region_size_min)
		return -EINVAL;
	if (!region_ready(r))
		lay_out(r, size);
	else if (r->layout != REGION_LAYOUT || r->size != size)
		return -EPROTO;
	*region = r;
	return 0;
}

const struct region *region_view(const void *memory, size_t size)
{
	return size < region_size_min ? NULL : memory;
}

void region_discard(struct region *region, const struct area *area)
{
	/* MADV_REMOVE punches a hole in the memfd; in other memory (unit tests) the pages are cleared instead. */
	if (madvise(region_at(region, area->offset), area->size, MADV_REMOVE))
		memset(region_at(region, area->offset), 0, area->size);
}

void region_set_revision(struct region *region, const char *store_id, uint64_t revision)
{
	char text[sizeof(region->store_id)] = {0};
	memcpy(text, store_id, strnlen(store_id, REGION_STORE_ID_SIZE - 1));
	uint64_t sequence = atomic_load(&region->revision_sequence) & ~1ull;
	atomic_store(&region->revision_sequence, sequence + 1);
	for (size_t i = 0; i < sizeof(text) / 8; i++) {
		uint64_t word;
		memcpy(&word, text + i * 8, 8);
		atomic_store(&region->store_id[i], word);
	}
	atomic_store(&region->revision, revision);
	atomic_store(&region->revision_sequence, sequence + 2);
}

bool region_published(const struct region *region)
{
	return region_ready(region) && atomic_load(&region->store_id[0]) != 0;
}

static uint64_t read_revision(const struct region *region, char text[sizeof(region->store_id)])
{
	for (size_t i = 0; i < sizeof(region->store_id) / 8; i++) {
		uint64_t word = atomic_load(&region->store_id[i]);
		memcpy(text + i * 8, &word, 8);
	}
	return atomic_load(&region->revision);
}

uint64_t region_revision(const struct region *region, char store_id[REGION_STORE_ID_SIZE])
{
	char text[sizeof(region->store_id)] = {0};
	uint64_t revision = 0;
	/* A writer killed between its two stores leaves the sequence odd: give up after some rounds, do not spin. */
	for (int round = 0; region_ready(region) && round < 1000; round++) {
		uint64_t before = atomic_load(&region->revision_sequence);
		revision = read_revision(region, text);
		if (!(before & 1) && atomic_load(&region->revision_sequence) == before)
			break;
	}
	memcpy(store_id, text, REGION_STORE_ID_SIZE);
	store_id[REGION_STORE_ID_SIZE - 1] = '\0';
	return revision;
}
