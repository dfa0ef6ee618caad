/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Records in shared memory with stable numbers. */
#include "slots.h"

#include <string.h>

#include <core/dprint.h>
#include <core/locking.h>
#include <core/mem/shm_mem.h>

#include "state.h"

enum {
	BUCKETS = 1024,
	KEEP_MS = 600000, /* unwanted, but a transaction may still name it */
	REST_MS = 60000,  /* unlinked, but somebody may just be reading it */
};

struct slots {
	gen_lock_t lock; /* of all writing but the records' own fields */
	uint32_t max, top;
	size_t size;
	bool full; /* said so in the log */
	uint32_t buckets[BUCKETS];
	_Alignas(64) char records[];
};

struct slots *slots_new(uint32_t max, size_t size)
{
	size = (size + 63) & ~(size_t)63;
	struct slots *slots = shm_malloc(sizeof(*slots) + max * size);
	if (!slots)
		return NULL;
	memset(slots, 0, sizeof(*slots) + max * size);
	slots->max = max;
	slots->size = size;
	if (lock_init(&slots->lock))
		return slots;
	shm_free(slots);
	return NULL;
}

void slots_free(struct slots *slots)
{
	if (slots)
		shm_free(slots);
}

static struct slot *record(struct slots *slots, uint32_t number)
{
	return (struct slot *)(slots->records + (number - 1) * slots->size);
}

static uint32_t *bucket_of(struct slots *slots, const struct slot_key *key)
{
	uint64_t words[2];
	memcpy(words, key->address, sizeof(words));
	uint64_t hash = (words[0] ^ words[1] << 1 ^ (uint64_t)key->peer << 20 ^ key->port) * 0x9e3779b97f4a7c15;
	return &slots->buckets[hash >> 54];
}

static bool is_key(const struct slot *slot, const struct slot_key *key)
{
	return slot->key.peer == key->peer && slot->key.port == key->port &&
	       memcmp(slot->key.address, key->address, sizeof(key->address)) == 0;
}

/* tm ends its transactions after our tables are gone: then there is nothing to find. */
void *slots_find(struct slots *slots, const struct slot_key *key)
{
	if (!slots)
		return NULL;
	uint32_t number = __atomic_load_n(bucket_of(slots, key), __ATOMIC_ACQUIRE);
	for (; number; number = __atomic_load_n(&record(slots, number)->next, __ATOMIC_ACQUIRE))
		if (is_key(record(slots, number), key))
			return record(slots, number);
	return NULL;
}

static uint32_t free_number(struct slots *slots)
{
	uint64_t now_ms = site_clock_ms();
	if (slots->top < slots->max)
		return ++slots->top;
	for (uint32_t number = 1; number <= slots->top; number++)
		if (!record(slots, number)->used && now_ms - record(slots, number)->free_ms > REST_MS)
			return number;
	if (!slots->full)
		LM_ERR("%u targets or peers are watched: no room for more, see targets_max\n", slots->max);
	slots->full = true;
	return 0;
}

static struct slot *make(struct slots *slots, const struct slot_key *key, void (*start)(void *record))
{
	uint32_t number = free_number(slots), *bucket = bucket_of(slots, key);
	if (number == 0)
		return NULL;
	struct slot *slot = record(slots, number);
	memset(slot, 0, slots->size);
	slot->key = *key;
	slot->number = number;
	slot->next = *bucket;
	slot->used = true;
	start(slot);
	__atomic_store_n(bucket, number, __ATOMIC_RELEASE);
	return slot;
}

void *slots_find_or_make(struct slots *slots, const struct slot_key *key, void (*start)(void *record))
{
	struct slot *slot = slots_find(slots, key);
	if (slot || !slots)
		return slot;
	lock_get(&slots->lock);
	slot = slots_find(slots, key);
	if (!slot)
		slot = make(slots, key, start);
	lock_release(&slots->lock);
	return slot;
}

void *slots_at(struct slots *slots, uint32_t number)
{
	if (!slots || number == 0 || number > slots->max || !record(slots, number)->used)
		return NULL;
	return record(slots, number);
}

void *slots_next(struct slots *slots, uint32_t number)
{
	while (number++ < slots->top)
		if (record(slots, number)->used)
			return record(slots, number);
	return NULL;
}

static void unlink_slot(struct slots *slots, struct slot *slot, uint64_t now_ms)
{
	uint32_t *link = bucket_of(slots, &slot->key);
	while (*link && *link != slot->number)
		link = &record(slots, *link)->next;
	__atomic_store_n(link, slot->next, __ATOMIC_RELEASE);
	slot->used = false;
	slot->free_ms = now_ms;
	slots->full = false;
}

void slots_sweep(struct slots *slots, bool (*wanted)(const struct slot_key *key, void *context), void *context)
{
	uint64_t now_ms = site_clock_ms();
	lock_get(&slots->lock);
	for (uint32_t number = 1; number <= slots->top; number++) {
		struct slot *slot = record(slots, number);
		if (!slot->used)
			continue;
		if (wanted(&slot->key, context))
			slot->unwanted_ms = 0;
		else if (slot->unwanted_ms == 0)
			slot->unwanted_ms = now_ms;
		else if (now_ms - slot->unwanted_ms > KEEP_MS)
			unlink_slot(slots, slot, now_ms);
	}
	lock_release(&slots->lock);
}
