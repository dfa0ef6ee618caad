/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The number table: E.164 number -> attribute set, in the shared region. */
#include "number_table.h"

#include <errno.h>
#include <stdlib.h>

#include "region_layout.h"

struct number_table {
	struct region *region;
	struct half *half;
	unsigned which;
	uint32_t buckets;
	uint64_t used; /**< slots taken, deleted ones too */
};

enum { HEAP_UNIT = 8 };

/* Finaliser of SplitMix64: neighbouring numbers land far apart. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static uint32_t home_bucket(uint64_t e164, uint32_t buckets)
{
	return (uint32_t)((mix(e164) >> 32) * buckets >> 32);
}

/* ------- reading ------- */

static const struct half *root_view(const struct region *region, uint64_t root)
{
	return &region->half[root_half(root)];
}

/* The set of a number, or 0. Bounded by the table: a bucket array that changes under the reader cannot hold it. */
static uint32_t search(const struct region *region, uint64_t root, uint64_t e164)
{
	uint32_t buckets = root_buckets(root);
	const struct bucket *bucket = region_at(region, root_view(region, root)->buckets.offset);
	uint32_t at = home_bucket(e164, buckets);
	for (uint32_t seen = 0; seen < buckets; seen++) {
		for (unsigned i = 0; i < BUCKET_KEYS; i++) {
			uint64_t key = atomic_load_explicit(&bucket[at].key[i], memory_order_acquire);
			if (key == e164)
				return atomic_load_explicit(&bucket[at].set[i], memory_order_acquire);
			if (key == 0)
				return 0;
		}
		at = at + 1 == buckets ? 0 : at + 1;
	}
	return 0;
}

/* The set of the narrowest range around a number, or 0; UINT32_MAX if the segments changed meanwhile. */
static uint32_t search_ranges(const struct region *region, uint64_t root, uint64_t e164)
{
	const struct half *half = root_view(region, root);
	uint64_t ranges = atomic_load_explicit(&half->range_root, memory_order_acquire);
	const struct area *slot = &half->segments[range_slot(ranges)];
	const struct segment *segments = region_at(region, slot->offset);
	uint64_t low = 0, high = range_segments(ranges);
	if (high > slot->size / sizeof(*segments))
		return UINT32_MAX;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		if (segments[middle].start <= e164)
			low = middle + 1;
		else
			high = middle;
	}
	uint32_t set = low ? segments[low - 1].set : 0;
	/* The slot is written again when RANGE_SLOTS - 1 later arrays stand. */
	atomic_thread_fence(memory_order_acquire);
	uint64_t now = atomic_load_explicit(&half->range_root, memory_order_relaxed);
	return range_generation(now) - range_generation(ranges) < RANGE_SLOTS - 1 ? set : UINT32_MAX;
}

/* An exact number beats a range. */
static uint32_t set_of(const struct region *region, uint64_t root, uint64_t e164)
{
	uint32_t set = search(region, root, e164);
	return set ? set : search_ranges(region, root, e164);
}

static int copy_set(const struct region *region, uint64_t root, uint32_t id, struct attribute_set *set)
{
	const struct half *half = root_view(region, root);
	if (id == 0 || id >= half->directory.size / sizeof(uint32_t))
		return -ENOENT;
	const _Atomic uint32_t *directory = region_at(region, half->directory.offset);
	uint64_t offset = (uint64_t)atomic_load_explicit(&directory[id], memory_order_acquire) * HEAP_UNIT;
	if (offset == 0 || offset + sizeof(struct set_record) + 2 * UINT8_MAX > half->heap.size)
		return -ENOENT;
	const struct set_record *record = region_at(region, half->heap.offset + offset);
	uint8_t account = record->account_length, header = record->header_length;
	if (account > FIELD_NAME_MAX || header > FIELD_NAME_MAX)
		return -ENOENT;
	set->id = id;
	set->service = record->service;
	memcpy(set->account, record->text, account);
	set->account[account] = '\0';
	memcpy(set->header, record->text + account, header);
	set->header[header] = '\0';
	return 0;
}

static uint64_t load_root(const struct region *region)
{
	return region_ready(region) ? atomic_load_explicit(&region->number_root, memory_order_acquire) : 0;
}

/* A look-up during which the root changed may have read pages that were given back: repeat it. */
static bool root_unchanged(const struct region *region, uint64_t root)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&region->number_root, memory_order_relaxed) == root;
}

int number_table_find(const struct region *region, uint64_t e164, struct attribute_set *set)
{
	for (;;) {
		uint64_t root = load_root(region);
		if (root == 0)
			return -EAGAIN;
		uint32_t id = set_of(region, root, e164);
		if (id == UINT32_MAX)
			continue;
		int result = copy_set(region, root, id, set);
		if (root_unchanged(region, root))
			return result;
	}
}

int number_table_set(const struct region *region, uint32_t id, struct attribute_set *set)
{
	for (;;) {
		uint64_t root = load_root(region);
		if (root == 0)
			return -EAGAIN;
		int result = copy_set(region, root, id, set);
		if (root_unchanged(region, root))
			return result;
	}
}

uint64_t number_table_count(const struct region *region)
{
	uint64_t root = load_root(region);
	return root ? atomic_load(&root_view(region, root)->count) : 0;
}

int number_table_next(const struct region *region, uint64_t *cursor, uint64_t *e164, uint32_t *set)
{
	uint64_t root = load_root(region);
	if (root == 0)
		return -EAGAIN;
	const struct bucket *bucket = region_at(region, root_view(region, root)->buckets.offset);
	uint64_t slots = (uint64_t)root_buckets(root) * BUCKET_KEYS;
	for (; *cursor < slots; ++*cursor) {
		uint64_t at = *cursor / BUCKET_KEYS, i = *cursor % BUCKET_KEYS;
		*e164 = atomic_load_explicit(&bucket[at].key[i], memory_order_acquire);
		*set = atomic_load_explicit(&bucket[at].set[i], memory_order_acquire);
		if (*e164 == 0 || *e164 == BUCKET_DELETED)
			continue;
		++*cursor;
		return 1;
	}
	return 0;
}

/* ------- writing ------- */

static void half_discard(struct region *region, const struct half *half)
{
	region_discard(region, &half->directory);
	region_discard(region, &half->heap);
	region_discard(region, &half->buckets);
	for (unsigned i = 0; i < RANGE_SLOTS; i++)
		region_discard(region, &half->segments[i]);
}

/*
 * A new table is filled to 82 % (15.6 bytes a number), a table in use to 90 %: fuller, and a look-up would too often
 * read a second and third bucket; emptier, and the table would be larger than the caches' share for nothing.
 */
enum { FILL_NEW = 82, FILL_MAX = 90, EXPECTED_MIN = 512 };

static uint64_t buckets_for(uint64_t expected)
{
	return (expected < EXPECTED_MIN ? EXPECTED_MIN : expected) * 100 / (FILL_NEW * BUCKET_KEYS) + 1;
}

int number_table_new(struct region *region, uint64_t expected, struct number_table **table)
{
	uint64_t root = load_root(region);
	unsigned which = root ? !root_half(root) : 0;
	struct half *half = &region->half[which];
	uint64_t buckets = buckets_for(expected);
	if (buckets > half->buckets.size / sizeof(struct bucket) || buckets > UINT32_MAX)
		return -ENOSPC;
	struct number_table *t = malloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = (struct number_table){.region = region, .half = half, .which = which, .buckets = (uint32_t)buckets};
	/* A writer that was killed may have left half a table here. */
	half_discard(region, half);
	atomic_store(&half->count, 0);
	atomic_store(&half->heap_used, HEAP_UNIT);
	atomic_store(&half->range_root, 0);
	*table = t;
	return 0;
}

void number_table_free(struct number_table *table)
{
	free(table);
}

static _Atomic uint32_t *directory_entry(const struct number_table *table, uint32_t id)
{
	_Atomic uint32_t *directory = region_at(table->region, table->half->directory.offset);
	return &directory[id];
}

int number_table_add_set(struct number_table *table, uint32_t id, uint16_t service, struct span account,
			 struct span header)
{
	struct half *half = table->half;
	if (id == 0 || account.len > FIELD_NAME_MAX || header.len > FIELD_NAME_MAX)
		return -EINVAL;
	if (id >= half->directory.size / sizeof(uint32_t))
		return -ENOSPC;
	if (atomic_load(directory_entry(table, id)) != 0)
		return 0;
	uint64_t offset = atomic_load(&half->heap_used);
	uint64_t size = sizeof(struct set_record) + account.len + header.len;
	uint64_t next = (offset + size + HEAP_UNIT - 1) / HEAP_UNIT * HEAP_UNIT;
	/* the reader's bound looks at the largest record, so keep that much free behind the last one */
	if (next + sizeof(struct set_record) + 2 * UINT8_MAX > half->heap.size || offset / HEAP_UNIT > UINT32_MAX)
		return -ENOSPC;
	struct set_record *record = region_at(table->region, half->heap.offset + offset);
	record->service = service;
	record->account_length = (uint8_t)account.len;
	record->header_length = (uint8_t)header.len;
	memcpy(record->text, account.ptr, account.len);
	if (header.len)
		memcpy(record->text + account.len, header.ptr, header.len);
	atomic_store(&half->heap_used, next);
	atomic_store_explicit(directory_entry(table, id), (uint32_t)(offset / HEAP_UNIT), memory_order_release);
	return 0;
}

void number_table_drop_set(struct number_table *table, uint32_t id)
{
	if (id != 0 && id < table->half->directory.size / sizeof(uint32_t))
		atomic_store_explicit(directory_entry(table, id), 0, memory_order_release);
}

/* The slot that holds the number, or the free one where it belongs; NULL if the table is full. */
static struct bucket *slot_for(const struct number_table *table, uint64_t e164, unsigned *slot)
{
	struct bucket *bucket = region_at(table->region, table->half->buckets.offset);
	uint32_t at = home_bucket(e164, table->buckets);
	for (uint32_t seen = 0; seen < table->buckets; seen++) {
		for (unsigned i = 0; i < BUCKET_KEYS; i++) {
			uint64_t key = atomic_load_explicit(&bucket[at].key[i], memory_order_relaxed);
			if (key == e164 || key == 0) {
				*slot = i;
				return &bucket[at];
			}
		}
		at = at + 1 == table->buckets ? 0 : at + 1;
	}
	return NULL;
}

int number_table_put(struct number_table *table, uint64_t e164, uint32_t set)
{
	unsigned i;
	struct bucket *bucket = slot_for(table, e164, &i);
	if (!bucket)
		return -ENOSPC;
	if (atomic_load_explicit(&bucket->key[i], memory_order_relaxed) == e164) {
		atomic_store_explicit(&bucket->set[i], set, memory_order_release);
		return 0;
	}
	if ((table->used + 1) * 100 > (uint64_t)table->buckets * BUCKET_KEYS * FILL_MAX)
		return -ENOSPC;
	/* value before key: a reader that sees the key sees its set */
	atomic_store_explicit(&bucket->set[i], set, memory_order_release);
	atomic_store_explicit(&bucket->key[i], e164, memory_order_release);
	table->used++;
	atomic_fetch_add(&table->half->count, 1);
	return 0;
}

void number_table_delete(struct number_table *table, uint64_t e164)
{
	unsigned i;
	struct bucket *bucket = slot_for(table, e164, &i);
	if (!bucket || atomic_load_explicit(&bucket->key[i], memory_order_relaxed) != e164)
		return;
	/* The slot is not used again before the next table: a reader may stand between its key and its set. */
	atomic_store_explicit(&bucket->key[i], BUCKET_DELETED, memory_order_release);
	atomic_fetch_sub(&table->half->count, 1);
}

uint64_t number_table_size(const struct number_table *table)
{
	return atomic_load(&table->half->count);
}

/* ------- images ------- */

static const struct area *image_area(const struct half *half, enum number_image_part part)
{
	const struct area *areas[NUMBER_IMAGE_PARTS] = {[NUMBER_IMAGE_BUCKETS] = &half->buckets,
							[NUMBER_IMAGE_DIRECTORY] = &half->directory,
							[NUMBER_IMAGE_SETS] = &half->heap};
	return areas[part];
}

int number_image_start(const struct region *region, struct number_image *image)
{
	*image = (struct number_image){.root = load_root(region)};
	return image->root ? 0 : -EAGAIN;
}

const void *number_image_part(const struct region *region, struct number_image *image, enum number_image_part part,
			      uint32_t sets)
{
	const struct half *half = root_view(region, image->root);
	const struct area *area = image_area(half, part);
	uint64_t sizes[NUMBER_IMAGE_PARTS] = {[NUMBER_IMAGE_BUCKETS] =
						      (uint64_t)root_buckets(image->root) * sizeof(struct bucket),
					      [NUMBER_IMAGE_DIRECTORY] = ((uint64_t)sets + 1) * sizeof(uint32_t),
					      [NUMBER_IMAGE_SETS] = atomic_load(&half->heap_used)};
	image->size[part] = sizes[part] < area->size ? sizes[part] : area->size;
	return region_at(region, area->offset);
}

bool number_image_current(const struct region *region, const struct number_image *image)
{
	return root_unchanged(region, image->root);
}

int number_image_new(struct region *region, const struct number_image *image, struct number_table **table)
{
	const uint64_t *size = image->size;
	const struct half *half = &region->half[0];
	uint64_t buckets = size[NUMBER_IMAGE_BUCKETS] / sizeof(struct bucket);
	if (buckets == 0 || size[NUMBER_IMAGE_BUCKETS] % sizeof(struct bucket) || buckets > UINT32_MAX ||
	    size[NUMBER_IMAGE_DIRECTORY] % sizeof(uint32_t) || size[NUMBER_IMAGE_SETS] < HEAP_UNIT ||
	    size[NUMBER_IMAGE_SETS] % HEAP_UNIT)
		return -EINVAL;
	for (unsigned part = 0; part < NUMBER_IMAGE_PARTS; part++)
		if (size[part] > image_area(half, part)->size)
			return -ENOSPC;
	int result = number_table_new(region, 0, table);
	if (result == 0)
		(*table)->buckets = (uint32_t)buckets;
	return result;
}

void *number_image_room(struct number_table *table, enum number_image_part part)
{
	return region_at(table->region, image_area(table->half, part)->offset);
}

void number_image_end(struct number_table *table, const struct number_image *image)
{
	const struct bucket *bucket = region_at(table->region, table->half->buckets.offset);
	uint64_t deleted = 0;
	for (uint32_t at = 0; at < table->buckets; at++)
		for (unsigned i = 0; i < BUCKET_KEYS; i++) {
			uint64_t key = atomic_load_explicit(&bucket[at].key[i], memory_order_relaxed);
			table->used += key != 0;
			deleted += key == BUCKET_DELETED;
		}
	atomic_store(&table->half->count, table->used - deleted);
	atomic_store(&table->half->heap_used, image->size[NUMBER_IMAGE_SETS]);
}

/* ------- ranges ------- */

/* Turns nested ranges into segments that follow one another: a range ends where the one around it goes on. */
struct flattener {
	struct segment *segments;
	uint64_t room, count;
	struct number_range open[NUMBER_RANGE_DEPTH];
	unsigned depth;
};

static int segment_add(struct flattener *f, uint64_t start, uint32_t set)
{
	if (f->count && f->segments[f->count - 1].start == start)
		f->count--; /* a range that begins where another ends */
	if (f->count == f->room)
		return -ENOSPC;
	f->segments[f->count++] = (struct segment){.start = start, .set = set};
	return 0;
}

/* Ends the open ranges that do not reach @p e164. */
static int ranges_close(struct flattener *f, uint64_t e164)
{
	int result = 0;
	while (result == 0 && f->depth && f->open[f->depth - 1].last < e164) {
		uint64_t last = f->open[--f->depth].last;
		result = segment_add(f, last + 1, f->depth ? f->open[f->depth - 1].set : 0);
	}
	return result;
}

static int range_open(struct flattener *f, const struct number_range *range)
{
	int result = ranges_close(f, range->first);
	if (result)
		return result;
	if (range->last < range->first || (f->depth && f->open[f->depth - 1].last < range->last))
		return -EINVAL;
	if (f->depth == NUMBER_RANGE_DEPTH)
		return -E2BIG;
	f->open[f->depth++] = *range;
	return segment_add(f, range->first, range->set);
}

int number_table_set_ranges(struct number_table *table, const struct number_range *ranges, size_t count)
{
	struct half *half = table->half;
	uint64_t generation = range_generation(atomic_load(&half->range_root)) + 1;
	const struct area *slot = &half->segments[generation % RANGE_SLOTS];
	struct flattener f = {.segments = region_at(table->region, slot->offset),
			      .room = slot->size / sizeof(struct segment)};
	int result = 0;
	region_discard(table->region, slot);
	for (size_t i = 0; i < count && result == 0; i++)
		result = range_open(&f, &ranges[i]);
	if (result == 0)
		result = ranges_close(&f, UINT64_MAX);
	if (result == 0)
		atomic_store_explicit(&half->range_root, generation << 32 | f.count, memory_order_seq_cst);
	return result;
}

void number_table_publish(struct number_table *table)
{
	struct region *region = table->region;
	uint64_t root = load_root(region);
	uint64_t next = (root_generation(root) + 1) << 33 | (uint64_t)table->which << 32 | table->buckets;
	atomic_store_explicit(&region->number_root, next, memory_order_seq_cst);
	if (root != 0 && root_half(root) != table->which)
		half_discard(region, &region->half[root_half(root)]);
}
