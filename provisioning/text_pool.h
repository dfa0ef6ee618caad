/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Texts, each kept once and known by a number counted from 0. */
#ifndef TRUNKGATE_TEXT_POOL_H
#define TRUNKGATE_TEXT_POOL_H

#include <stdint.h>

#include "span.h"

struct text_pool {
	char *text;
	size_t used, size;
	size_t *ends; /**< of the i-th text */
	uint32_t count, room;
	uint32_t *slots; /**< number + 1; 0: free */
	uint32_t slot_count;
};

void text_pool_finish(struct text_pool *pool);

/** Finds or adds a text. Returns 0 or -ENOMEM. */
int text_pool_add(struct text_pool *pool, struct span text, uint32_t *number);

/** Returns 0 or -ENOENT. */
int text_pool_find(const struct text_pool *pool, struct span text, uint32_t *number);

/** The text lives until the next one is added. */
struct span text_pool_get(const struct text_pool *pool, uint32_t number);

#endif
