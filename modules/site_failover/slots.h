/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Records in shared memory, each with a key and a stable number from 1. Finding one takes no lock. A record whose key
 * is wanted no more is kept for ten minutes, so a pointer to it outlives every transaction.
 */
#ifndef TRUNKGATE_SITE_FAILOVER_SLOTS_H
#define TRUNKGATE_SITE_FAILOVER_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slot_key {
	uint32_t peer; /**< id, never 0 */
	uint16_t port; /**< 0: the peer itself */
	uint8_t address[16];
};

/** The first member of each record. */
struct slot {
	struct slot_key key;
	uint32_t number;
	uint32_t next; /* of its bucket */
	uint64_t unwanted_ms, free_ms;
	bool used;
};

struct slots;

/** Zeroed memory for @p max records of @p size bytes, or NULL. */
struct slots *slots_new(uint32_t max, size_t size);
void slots_free(struct slots *slots);

/** Returns the record, or NULL: there is none, or no room for one. @p start makes a new one ready, under the lock. */
void *slots_find(struct slots *slots, const struct slot_key *key);
void *slots_find_or_make(struct slots *slots, const struct slot_key *key, void (*start)(void *record));

/** The record of a number, or NULL. */
void *slots_at(struct slots *slots, uint32_t number);
/** The next record in use after @p number (0: the first), or NULL. */
void *slots_next(struct slots *slots, uint32_t number);

/** Frees records that @p wanted has refused for ten minutes. */
void slots_sweep(struct slots *slots, bool (*wanted)(const struct slot_key *key, void *context), void *context);

#endif
