/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * What the node observed of each peer: address, health, probes. In shared memory, keyed by the store's peer id, so it
 * outlives every change of the topology. Entries are copied out under a short lock; no pointer leaves this file.
 */
#ifndef TRUNKGATE_OBSERVED_H
#define TRUNKGATE_OBSERVED_H

#include <stdbool.h>
#include <stdint.h>

#include <core/ip_addr.h>

#include "field.h"
#include "health.h"
#include "topology.h"

enum { OBSERVED_REASON_MAX = 48 };

struct observed {
	uint32_t peer;
	char name[FIELD_NAME_MAX + 1]; /* for the log */
	bool has_address;
	struct ip_addr address;
	struct health health;
	char reason[OBSERVED_REASON_MAX]; /* of the last failure */
	uint32_t failures;                /* since the start */
	uint32_t probe;                   /* number of the last probe: an answer to another one is ignored */
	bool waiting;                     /* for the answer to that probe */
	uint64_t deadline_ms, next_probe_ms, next_keepalive_ms, next_look_up_ms;
};

int observed_init(void);
void observed_finish(void);

/** Copies what is known of a peer. Returns 0, or -ENOENT: nothing yet, which counts as up. */
int observed_get(uint32_t peer, struct observed *copy);

/** Runs @p change on the entry under the lock; the entry is made if there is none. Returns 0 or -ENOMEM. */
int observed_change(uint32_t peer, void (*change)(struct observed *target, void *context), void *context);

/** Feeds one observation; a change of state is logged. */
void observed_event(uint32_t peer, enum health_event event, const char *reason);

/** Drops the entries of peers for which @p wanted says false. */
void observed_sweep(bool (*wanted)(uint32_t peer, void *context), void *context);

#endif
