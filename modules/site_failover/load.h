/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * What each peer carries: calls that it was sent and has not answered, live calls, calls in the last second. In
 * shared memory; a limit is taken and given back, never only looked at.
 */
#ifndef TRUNKGATE_SITE_FAILOVER_LOAD_H
#define TRUNKGATE_SITE_FAILOVER_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <core/locking.h>

#include "place.h"
#include "rate.h"
#include "slots.h"

struct load {
	struct slot slot;
	uint32_t trying, live; /* atomic */
	uint32_t calling;      /* atomic: calls that it sent and that have no final answer */
	gen_lock_t lock;       /* of rate */
	struct rate rate;
	bool drained; /* of the prober alone: told to the event routes */
};

int load_init(void);
void load_finish(void);

/** The load of a peer, made if there is none; NULL if there is no room or @p peer is TOPOLOGY_NONE. */
struct load *load_of(uint32_t peer);

/** Takes a place for a call; false if the peer is full. With @p always it never is. */
bool load_take(const struct place *place, bool always);
/** The call that took it did not come to be, or has become a live one. */
void load_give(uint32_t peer);

/** A call from this peer waits for its final answer; it has it. */
void load_open(uint32_t peer);
void load_close(uint32_t peer);

void load_begin(uint32_t peer); /**< a call is live */
void load_end(uint32_t peer);

void load_sweep(bool (*wanted)(const struct slot_key *key, void *context), void *context);

#endif
