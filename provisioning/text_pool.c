/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Texts, each kept once. */
#include "text_pool.h"

#include <errno.h>
#include <stdlib.h>

enum { SLOTS_FIRST = 1024, TEXT_FIRST = 4096, TEXTS_MAX = 1 << 30 };

void text_pool_finish(struct text_pool *pool)
{
	free(pool->text);
	free(pool->ends);
	free(pool->slots);
	*pool = (struct text_pool){0};
}

static uint32_t text_hash(struct span text)
{
	uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */

	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ (unsigned char)text.ptr[i]) * 0x100000001b3ull;
	return (uint32_t)(hash ^ hash >> 32);
}

struct span text_pool_get(const struct text_pool *pool, uint32_t number)
{
	size_t start = number ? pool->ends[number - 1] : 0;

	return (struct span){pool->text + start, pool->ends[number] - start};
}

/* The slot that holds the text, or the free one where it belongs. */
static uint32_t *slot_for(const struct text_pool *pool, struct span text)
{
	uint32_t at = text_hash(text) & (pool->slot_count - 1);

	while (pool->slots[at] && !span_equal(text_pool_get(pool, pool->slots[at] - 1), text))
		at = (at + 1) & (pool->slot_count - 1);
	return &pool->slots[at];
}

static int slots_grow(struct text_pool *pool)
{
	uint32_t count = pool->slot_count ? pool->slot_count * 2 : SLOTS_FIRST;
	uint32_t *slots = count / 2 <= TEXTS_MAX ? calloc(count, sizeof(*slots)) : NULL;

	if (!slots)
		return -ENOMEM;
	free(pool->slots);
	pool->slots = slots;
	pool->slot_count = count;
	for (uint32_t i = 0; i < pool->count; i++)
		*slot_for(pool, text_pool_get(pool, i)) = i + 1;
	return 0;
}

static int texts_grow(struct text_pool *pool, size_t more)
{
	if (pool->count == pool->room) {
		uint32_t room = pool->room ? pool->room * 2 : SLOTS_FIRST;
		size_t *ends = realloc(pool->ends, room * sizeof(*ends));
		if (!ends)
			return -ENOMEM;
		pool->ends = ends;
		pool->room = room;
	}
	if (pool->size - pool->used < more) {
		size_t size = (pool->size ? pool->size * 2 : TEXT_FIRST) + more;
		char *text = realloc(pool->text, size);
		if (!text)
			return -ENOMEM;
		pool->text = text;
		pool->size = size;
	}
	return 0;
}

int text_pool_add(struct text_pool *pool, struct span text, uint32_t *number)
{
	if (text_pool_find(pool, text, number) == 0)
		return 0;
	int rc = texts_grow(pool, text.len);
	if (rc == 0 && (pool->count + 1) * 2 > pool->slot_count)
		rc = slots_grow(pool);
	if (rc)
		return rc;
	uint32_t *slot = slot_for(pool, text);
	if (text.len)
		memcpy(pool->text + pool->used, text.ptr, text.len);
	pool->used += text.len;
	pool->ends[pool->count] = pool->used;
	*number = pool->count++;
	*slot = *number + 1;
	return 0;
}

int text_pool_find(const struct text_pool *pool, struct span text, uint32_t *number)
{
	uint32_t found = pool->slot_count ? *slot_for(pool, text) : 0;

	if (!found)
		return -ENOENT;
	*number = found - 1;
	return 0;
}
