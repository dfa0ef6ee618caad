/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The order in which a call tries the targets of a group. Pure: health and chance come from the caller. */
#ifndef TRUNKGATE_PEER_CHOICE_H
#define TRUNKGATE_PEER_CHOICE_H

#include <stddef.h>
#include <stdint.h>

#include "health.h"

struct candidate {
	uint32_t target; /**< number of the target's record */
	uint32_t peer;   /**< id */
	enum health_rank rank;
	uint8_t priority; /**< of the peer: 0 first */
	uint16_t weight;  /**< of the peer within its priority */
	uint16_t srv_priority, srv_weight;
	double peer_draw, target_draw; /**< used by the sorting only */
};

/**
 * Sorts @p candidates by rank; peer priority; peer weight (by chance); SRV priority; SRV weight (by chance). Within a
 * rank the targets of one peer stay together, and a peer's weight counts once, however many targets it has. A weight of
 * 0 is chosen seldom. @p random returns 32 evenly spread bits.
 */
void peer_choice_order(struct candidate *candidates, size_t count, uint32_t (*random)(void *context), void *context);

#endif
