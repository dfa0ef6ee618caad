/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The order in which a call tries the peers of a group. Pure: health and chance come from the caller. */
#ifndef TRUNKGATE_PEER_CHOICE_H
#define TRUNKGATE_PEER_CHOICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct candidate {
	uint32_t peer;    /**< id */
	uint8_t priority; /**< 0 first */
	uint16_t weight;  /**< RFC 2782 rule within a priority */
	bool healthy;     /**< not down */
};

/**
 * Sorts @p candidates: healthy ones by priority, within one by weighted chance; then the unhealthy ones in the same
 * order (a wrong probe must not stop all calls). @p random returns 32 evenly spread bits.
 */
void peer_choice_order(struct candidate *candidates, size_t count, uint32_t (*random)(void *context), void *context);

#endif
