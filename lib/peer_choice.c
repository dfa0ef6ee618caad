/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The order in which a call tries the peers of a group. */
#include "peer_choice.h"

#include <stdlib.h>

static int by_health_and_priority(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;
	if (a->healthy != b->healthy)
		return a->healthy ? -1 : 1;
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	/* RFC 2782: those of weight 0 stand first, so that they are chosen only by a draw of 0 */
	if (a->weight != b->weight && (a->weight == 0 || b->weight == 0))
		return a->weight == 0 ? -1 : 1;
	return a->peer < b->peer ? -1 : a->peer > b->peer;
}

static size_t same_rank(const struct candidate *candidates, size_t count)
{
	size_t n = 1;
	while (n < count && candidates[n].healthy == candidates[0].healthy &&
	       candidates[n].priority == candidates[0].priority)
		n++;
	return n;
}

/* RFC 2782: draw 0..sum; the first whose running sum reaches it is next */
static size_t draw(const struct candidate *candidates, size_t count, uint32_t random)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += candidates[i].weight;
	uint64_t aim = ((uint64_t)random * (sum + 1)) >> 32;
	uint64_t running = 0;
	for (size_t i = 0; i < count; i++) {
		running += candidates[i].weight;
		if (running >= aim)
			return i;
	}
	return count - 1;
}

static void move_to_front(struct candidate *candidates, size_t from)
{
	struct candidate chosen = candidates[from];
	for (; from > 0; from--)
		candidates[from] = candidates[from - 1];
	candidates[0] = chosen;
}

void peer_choice_order(struct candidate *candidates, size_t count, uint32_t (*random)(void *context), void *context)
{
	if (count == 0)
		return;
	qsort(candidates, count, sizeof(*candidates), by_health_and_priority);
	for (size_t start = 0; start < count;) {
		size_t end = start + same_rank(candidates + start, count - start);
		for (; start + 1 < end; start++)
			move_to_front(candidates + start, draw(candidates + start, end - start, random(context)));
		start = end;
	}
}
