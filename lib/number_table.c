/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The number table: E.164 number -> attribute set, in the shared region. */
#include "number_table.h"

#include <errno.h>
#include <stdlib.h>

#include "region_layout.h"
#include "segment_index.h"

struct number_table {
	struct region *region;
	struct half *half;
	unsigned which;
	uint32_t buckets;
	uint64_t used;    /**< slots taken, deleted ones too */
	uint64_t build;   /**< half->builds as it was begun */
	uint32_t set_max; /**< highest id */
	/* While it grows: the table that takes its place when all is copied, and how far that is. */
	struct number_table *next;
	uint64_t heap_end, heap_copied, directory_copied, bucket_copied;
};

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

static uint32_t next_bucket(uint32_t at, uint32_t buckets)
{
	return at + 1 == buckets ? 0 : at + 1;
}

/* One of bucket.passed; from bits of the hash that do not choose the bucket. */
static uint32_t passing_bit(uint64_t e164)
{
	return 1u << (mix(e164) & 31);
}

/* ------- reading ------- */

static const struct half *root_view(const struct region *region, uint64_t root)
{
	return &region->half[root_half(root)];
}

/* The record of a number in this bucket; 0: it is in none; UINT32_MAX: it may be in the next. */
static inline uint32_t bucket_search(const struct bucket *bucket, uint64_t e164)
{
	unsigned here = BUCKET_KEYS;
	for (unsigned i = BUCKET_KEYS; i-- > 0;) {
		uint64_t key = atomic_load_explicit(&bucket->key[i], memory_order_acquire);
		here = key == e164 ? i : here;
	}
	if (here < BUCKET_KEYS)
		return atomic_load_explicit(&bucket->record[here], memory_order_acquire);
	return atomic_load_explicit(&bucket->passed, memory_order_acquire) & passing_bit(e164) ? UINT32_MAX : 0;
}

/* The record of a number, or 0. Bounded by the table: a bucket array that changes under the reader cannot hold it. */
static uint32_t search(const struct bucket *bucket, uint32_t buckets, uint32_t at, uint64_t e164)
{
	for (uint32_t seen = 0; seen < buckets; seen++) {
		uint32_t record = bucket_search(&bucket[at], e164);
		if (record != UINT32_MAX)
			return record;
		at = next_bucket(at, buckets);
	}
	return 0;
}

/*
 * The record of a number, or of the narrowest range around it, or 0; UINT32_MAX if ranges changed meanwhile. The way to
 * the range is found while the bucket is on its way from memory: a number that only a range holds costs little more
 * than one that is not there. Numbers and ranges are those of one moment, as long as the ranges stayed the same.
 */
static uint32_t record_of(const struct region *region, uint64_t root, uint64_t e164)
{
	const struct half *half = root_view(region, root);
	const struct bucket *bucket = region_at(region, half->buckets.offset);
	uint32_t buckets = root_buckets(root), at = home_bucket(e164, buckets);
	__builtin_prefetch(&bucket[at]);
	uint64_t ranges = atomic_load_explicit(&half->range_root, memory_order_acquire);
	const struct area *slot = &half->segments[range_slot(ranges)];
	const void *leaf = NULL;
	if (range_segments(ranges)) {
		if (range_segments(ranges) > segment_index_room(slot->size))
			return UINT32_MAX;
		leaf = segment_index_leaf(region_at(region, slot->offset), range_segments(ranges), e164);
	}
	uint32_t record = search(bucket, buckets, at, e164);
	if (record)
		return record;
	record = leaf ? segment_leaf_value(leaf, e164) : 0;
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&half->range_root, memory_order_relaxed) == ranges ? record : UINT32_MAX;
}

/* Bytes of a set in the heap. */
static size_t set_size(const struct attribute_set *set)
{
	return offsetof(struct attribute_set, account) + set->account_length + 1 + set->header_length;
}

static inline void word_read(const _Atomic uint32_t *from, struct attribute_set *set, size_t i)
{
	uint32_t word = atomic_load_explicit(&from[i], memory_order_acquire);
	memcpy((char *)set + i * sizeof(word), &word, sizeof(word));
}

/*
 * The second word has the lengths. What a late reader gets is thrown away, but must stay in its bounds: those are the
 * largest set's, which record_at() looked at. Words that most sets have are read unasked: a branch guessed wrong costs
 * more than all of them.
 */
static bool set_read(const _Atomic uint32_t *from, struct attribute_set *set)
{
	enum { USUAL_WORDS = 8 };
	for (size_t i = 0; i < USUAL_WORDS; i++)
		word_read(from, set, i);
	if (set->account_length == 0 || set->account_length > FIELD_NAME_MAX || set->header_length > FIELD_NAME_MAX)
		return false;
	size_t size = set_size(set);
	for (size_t i = USUAL_WORDS; i * sizeof(*from) < size; i++)
		word_read(from, set, i);
	set->account[set->account_length] = '\0';
	set->account[set->account_length + 1 + set->header_length] = '\0';
	return true;
}

static const _Atomic uint32_t *record_at(const struct region *region, const struct half *half, uint32_t place)
{
	uint64_t offset = (uint64_t)place * HEAP_UNIT;
	if (place == 0 || offset + sizeof(union set_record) > half->heap.size)
		return NULL;
	return region_at(region, half->heap.offset + offset);
}

static int record_copy(const struct region *region, uint64_t root, uint32_t place, struct attribute_set *set)
{
	const _Atomic uint32_t *from = record_at(region, root_view(region, root), place);
	return from && set_read(from, set) ? 0 : -ENOENT;
}

static uint32_t directory_read(const struct region *region, const struct half *half, uint32_t id)
{
	const _Atomic uint32_t *directory = region_at(region, half->directory.offset);
	bool inside = id != 0 && id < half->directory.size / sizeof(*directory);
	return inside ? atomic_load_explicit(&directory[id], memory_order_acquire) : 0;
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
		uint32_t place = record_of(region, root, e164);
		if (place == UINT32_MAX)
			continue;
		int result = record_copy(region, root, place, set);
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
		int result = record_copy(region, root, directory_read(region, root_view(region, root), id), set);
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
		uint32_t place = atomic_load_explicit(&bucket[at].record[i], memory_order_acquire);
		if (*e164 == 0 || *e164 == BUCKET_DELETED)
			continue;
		const _Atomic uint32_t *record = record_at(region, root_view(region, root), place);
		*set = record ? atomic_load_explicit(&record[0], memory_order_acquire) : 0;
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
 * read a second and third bucket; emptier, and the table would be larger than the caches' share for nothing. It begins
 * to grow at 86 %.
 */
enum { FILL_NEW = 82, FILL_GROW = 86, FILL_MAX = 90, EXPECTED_MIN = 512, GROWTH_SHARE = 32 };

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
	t->build = atomic_fetch_add(&half->builds, 1) + 1;
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
	if (table)
		free(table->next);
	free(table);
}

static _Atomic uint32_t *directory_entry(const struct number_table *table, uint32_t id)
{
	_Atomic uint32_t *directory = region_at(table->region, table->half->directory.offset);
	return &directory[id];
}

static void record_write(const struct number_table *table, uint64_t offset, const union set_record *record,
			 uint64_t size)
{
	_Atomic uint32_t *to = region_at(table->region, table->half->heap.offset + offset);
	for (size_t i = 0; i * sizeof(*to) < size; i++)
		atomic_store_explicit(&to[i], record->word[i], memory_order_relaxed);
}

/* Returns 1 if it was added, 0 if it is there, or -ENOSPC. */
static int set_add(struct number_table *table, uint32_t id, const union set_record *record)
{
	struct half *half = table->half;
	uint64_t size = set_size(&record->set);
	if (id >= half->directory.size / sizeof(uint32_t))
		return -ENOSPC;
	if (atomic_load(directory_entry(table, id)) != 0)
		return 0;
	uint64_t offset = atomic_load(&half->heap_used);
	uint64_t next = (offset + size + HEAP_UNIT - 1) / HEAP_UNIT * HEAP_UNIT;
	/* the reader's bound looks at the largest record, so keep that much free behind the last one */
	if (next + sizeof(*record) > half->heap.size || offset / HEAP_UNIT > UINT32_MAX)
		return -ENOSPC;
	record_write(table, offset, record, size);
	atomic_store(&half->heap_used, next);
	atomic_store_explicit(directory_entry(table, id), (uint32_t)(offset / HEAP_UNIT), memory_order_release);
	table->set_max = id > table->set_max ? id : table->set_max;
	return 1;
}

static struct number_table *next_of(struct number_table *table);
static void growth_end(struct number_table *table);

int attribute_set_make(struct attribute_set *set, uint32_t id, uint16_t service, struct span account,
		       struct span header)
{
	if (id == 0 || account.len == 0 || account.len > FIELD_NAME_MAX || header.len > FIELD_NAME_MAX)
		return -EINVAL;
	*set = (struct attribute_set){.id = id,
				      .service = service,
				      .account_length = (uint8_t)account.len,
				      .header_length = (uint8_t)header.len};
	memcpy(set->account, account.ptr, account.len);
	if (header.len)
		memcpy(set->account + account.len + 1, header.ptr, header.len);
	return 0;
}

int number_table_add_set(struct number_table *table, uint32_t id, uint16_t service, struct span account,
			 struct span header)
{
	union set_record record = {0};
	int result = attribute_set_make(&record.set, id, service, account, header);
	if (result)
		return result;
	result = set_add(table, id, &record);
	/* the same place in both: the rest of the directory is copied later */
	if (result > 0 && next_of(table) && set_add(table->next, id, &record) < 0)
		growth_end(table);
	return result < 0 ? result : 0;
}

static void set_drop(struct number_table *table, uint32_t id)
{
	const struct half *half = table->half;
	uint32_t place = directory_read(table->region, half, id);
	if (!place)
		return;
	union set_record record;
	_Atomic uint32_t *word = (_Atomic uint32_t *)(uintptr_t)record_at(table->region, half, place) + 1;
	record.word[1] = atomic_load(word);
	record.set.account_length = 0;
	atomic_store(word, record.word[1]);
	atomic_store_explicit(directory_entry(table, id), 0, memory_order_release);
}

void number_table_drop_set(struct number_table *table, uint32_t id)
{
	set_drop(table, id);
	if (next_of(table))
		set_drop(table->next, id);
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
		at = next_bucket(at, table->buckets);
	}
	return NULL;
}

/* Before the number itself: a reader that misses the bit would not find it. */
static void passing_mark(const struct number_table *table, uint64_t e164, const struct bucket *to)
{
	struct bucket *bucket = region_at(table->region, table->half->buckets.offset);
	uint32_t bit = passing_bit(e164);
	for (uint32_t at = home_bucket(e164, table->buckets); &bucket[at] != to; at = next_bucket(at, table->buckets))
		atomic_fetch_or_explicit(&bucket[at].passed, bit, memory_order_release);
}

/* True if one more would make it fuller than @p percent. */
static bool fuller_than(const struct number_table *table, unsigned percent)
{
	return (table->used + 1) * 100 > (uint64_t)table->buckets * BUCKET_KEYS * percent;
}

static int number_put(struct number_table *table, uint64_t e164, uint32_t place)
{
	unsigned i;
	struct bucket *bucket = slot_for(table, e164, &i);
	if (!bucket)
		return -ENOSPC;
	if (atomic_load_explicit(&bucket->key[i], memory_order_relaxed) == e164) {
		atomic_store_explicit(&bucket->record[i], place, memory_order_release);
		return 0;
	}
	if (fuller_than(table, FILL_MAX))
		return -ENOSPC;
	passing_mark(table, e164, bucket);
	/* value before key: a reader that sees the key sees its set */
	atomic_store_explicit(&bucket->record[i], place, memory_order_release);
	atomic_store_explicit(&bucket->key[i], e164, memory_order_release);
	table->used++;
	atomic_fetch_add(&table->half->count, 1);
	return 0;
}

static void number_delete(struct number_table *table, uint64_t e164)
{
	unsigned i;
	struct bucket *bucket = slot_for(table, e164, &i);
	if (!bucket || atomic_load_explicit(&bucket->key[i], memory_order_relaxed) != e164)
		return;
	/* The slot is not used again before the next table: a reader may stand between its key and its set. */
	atomic_store_explicit(&bucket->key[i], BUCKET_DELETED, memory_order_release);
	atomic_fetch_sub(&table->half->count, 1);
}

/* ------- growing ------- */

/*
 * A table grows by a copy in the other half, made by the changes themselves: each one copies GROW_BYTES, so that none
 * waits long. Meanwhile changes are made in both. Numbers stand in the order of their hashes in either table, so both
 * are gone through once from start to end.
 */
enum { GROW_BYTES = 256 << 10 };

static bool published(const struct number_table *table)
{
	uint64_t root = load_root(table->region);
	return root && root_half(root) == table->which;
}

static void growth_end(struct number_table *table)
{
	free(table->next);
	table->next = NULL;
}

/* The table that it grows into; NULL if it does not grow, or another table was begun in that half. */
static struct number_table *next_of(struct number_table *table)
{
	if (table->next && atomic_load(&table->next->half->builds) != table->next->build)
		growth_end(table);
	return table->next;
}

/* Copies words up to @p end, at most @p most bytes; returns the bytes left of that. */
static uint64_t area_copy(const struct number_table *table, const struct area *from, const struct area *to,
			  uint64_t *done, uint64_t end, uint64_t most)
{
	const _Atomic uint64_t *source = region_at(table->region, from->offset);
	_Atomic uint64_t *target = region_at(table->region, to->offset);
	for (; *done < end && most; *done += sizeof(*source), most -= sizeof(*source)) {
		uint64_t i = *done / sizeof(*source);
		atomic_store_explicit(&target[i], atomic_load_explicit(&source[i], memory_order_relaxed),
				      memory_order_relaxed);
	}
	return most;
}

static int bucket_copy(const struct bucket *bucket, struct number_table *to)
{
	int result = 0;
	for (unsigned i = 0; i < BUCKET_KEYS && result == 0; i++) {
		uint64_t key = atomic_load_explicit(&bucket->key[i], memory_order_relaxed);
		if (key != 0 && key != BUCKET_DELETED)
			result = number_put(to, key, atomic_load_explicit(&bucket->record[i], memory_order_relaxed));
	}
	return result;
}

/* Sets keep their places; @p most is a multiple of a bucket. Returns 1 when all is copied, 0 if not, or -ENOSPC. */
static int growth_step(struct number_table *table, uint64_t most)
{
	struct number_table *next = table->next;
	const struct half *from = table->half, *to = next->half;
	uint64_t directory_end = ((uint64_t)table->set_max / 2 + 1) * 2 * sizeof(uint32_t);
	most = area_copy(table, &from->heap, &to->heap, &table->heap_copied, table->heap_end, most);
	most = area_copy(table, &from->directory, &to->directory, &table->directory_copied, directory_end, most);
	const struct bucket *bucket = region_at(table->region, from->buckets.offset);
	for (; most >= sizeof(*bucket) && table->bucket_copied < table->buckets; most -= sizeof(*bucket)) {
		int result = bucket_copy(&bucket[table->bucket_copied++], next);
		if (result)
			return result;
	}
	return table->bucket_copied == table->buckets;
}

static int ranges_copy(const struct number_table *table, struct number_table *to)
{
	uint64_t ranges = atomic_load(&table->half->range_root), done = 0;
	const struct area *from = &table->half->segments[range_slot(ranges)];
	const struct area *slot = &to->half->segments[range_slot(ranges)];
	area_copy(table, from, slot, &done, segment_index_size(range_segments(ranges)), UINT64_MAX);
	atomic_store(&to->half->range_root, ranges);
	return 0;
}

/* A little larger than need be, so that it does not grow again at once. */
static int growth_start(struct number_table *table, uint64_t expected)
{
	int result = number_table_new(table->region, expected, &table->next);
	if (result)
		return result;
	table->next->set_max = table->set_max;
	table->heap_end = atomic_load(&table->half->heap_used);
	atomic_store(&table->next->half->heap_used, table->heap_end);
	table->heap_copied = table->directory_copied = table->bucket_copied = 0;
	return 0;
}

static void growth_finish(struct number_table *table)
{
	struct number_table *next = table->next;
	ranges_copy(table, next);
	number_table_publish(next);
	*table = *next;
	free(next);
}

/* For want of room it goes on until it is full. */
static void growth_go_on(struct number_table *table)
{
	uint64_t count = number_table_size(table);
	if (!next_of(table) &&
	    (!fuller_than(table, FILL_GROW) || !published(table) || growth_start(table, count + count / GROWTH_SHARE)))
		return;
	int result = growth_step(table, GROW_BYTES);
	if (result > 0)
		growth_finish(table);
	else if (result < 0)
		growth_end(table);
}

int number_table_put(struct number_table *table, uint64_t e164, uint32_t set)
{
	uint32_t place = directory_read(table->region, table->half, set);
	int result = number_put(table, e164, place);
	if (result)
		return result;
	if (next_of(table) && number_put(table->next, e164, place))
		growth_end(table);
	growth_go_on(table);
	return 0;
}

void number_table_prefetch(const struct number_table *table, uint64_t e164)
{
	const struct bucket *bucket = region_at(table->region, table->half->buckets.offset);
	__builtin_prefetch(&bucket[home_bucket(e164, table->buckets)], 1);
}

void number_table_delete(struct number_table *table, uint64_t e164)
{
	number_delete(table, e164);
	if (next_of(table))
		number_delete(table->next, e164);
}

int number_table_copy(struct number_table *table, uint64_t expected, struct number_table **copy)
{
	growth_end(table);
	int result = growth_start(table, expected);
	if (result)
		return result;
	result = growth_step(table, UINT64_MAX);
	if (result > 0) {
		ranges_copy(table, table->next);
		*copy = table->next;
		table->next = NULL;
		return 0;
	}
	growth_end(table);
	return result;
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

int number_image_end(struct number_table *table, const struct number_image *image)
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
	uint64_t sets = image->size[NUMBER_IMAGE_DIRECTORY] / sizeof(uint32_t);
	table->set_max = sets ? (uint32_t)(sets - 1) : 0;
	return fuller_than(table, FILL_MAX + 1) ? -EINVAL : 0; /* fuller than any of ours */
}

/* ------- ranges ------- */

static uint32_t range_record(const void *context, uint32_t set)
{
	const struct number_table *table = context;
	return directory_read(table->region, table->half, set);
}

int number_table_set_ranges(struct number_table *table, const struct number_range *ranges, size_t count)
{
	struct half *half = table->half;
	uint64_t generation = range_generation(atomic_load(&half->range_root)) + 1, segments = 0;
	const struct area *slot = &half->segments[generation % RANGE_SLOTS];
	const struct segment_source source = {ranges, count, range_record, table};
	region_discard(table->region, slot);
	int result = segment_index_write(region_at(table->region, slot->offset), slot->size, &source, &segments);
	if (result == 0)
		atomic_store_explicit(&half->range_root, generation << 32 | segments, memory_order_seq_cst);
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
