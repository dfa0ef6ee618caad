/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The order in which a call tries the targets of a group. */
#include "peer_choice.h"

#include <math.h>
#include <stdlib.h>

/* RFC 2782 wants "a very small chance" for weight 0 */
static const double weight_of_0 = 0.5;

/*
 * Sorting by -log(u)/weight with u evenly spread in (0, 1] gives each order the same chance as drawing one after the
 * other by weight from those that are left (Efraimidis, Spirakis 2006).
 */
static double draw(uint16_t weight, uint32_t random)
{
	return -log((random + 1.0) / 4294967296.0) / (weight ? weight : weight_of_0);
}

#define COMPARE(field)                                                                                                 \
	do {                                                                                                           \
		if (a->field != b->field)                                                                              \
			return a->field < b->field ? -1 : 1;                                                           \
	} while (0)

static int by_peer(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;
	COMPARE(peer);
	COMPARE(target);
	return 0;
}

static int by_order(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;
	COMPARE(rank);
	COMPARE(priority);
	COMPARE(peer_draw);
	COMPARE(peer);
	COMPARE(srv_priority);
	COMPARE(target_draw);
	COMPARE(target);
	return 0;
}

void peer_choice_order(struct candidate *candidates, size_t count, uint32_t (*random)(void *context), void *context)
{
	if (count == 0)
		return;
	qsort(candidates, count, sizeof(*candidates), by_peer);
	for (size_t i = 0; i < count; i++) {
		struct candidate *one = candidates + i;
		one->peer_draw =
			i && one[-1].peer == one->peer ? one[-1].peer_draw : draw(one->weight, random(context));
		one->target_draw = draw(one->srv_weight, random(context));
	}
	qsort(candidates, count, sizeof(*candidates), by_order);
}
