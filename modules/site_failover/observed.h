/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * What the node observed of each target: health, probes, connection. In shared memory, keyed by the store's peer id,
 * address and port, so it outlives every change of the topology and of DNS.
 */
#ifndef TRUNKGATE_OBSERVED_H
#define TRUNKGATE_OBSERVED_H

#include <stdbool.h>
#include <stdint.h>

#include <core/locking.h>

#include "cadence.h"
#include "health.h"
#include "slots.h"
#include "topology.h"

enum { OBSERVED_REASON_MAX = 48 };

struct observed {
	struct slot slot;
	gen_lock_t lock; /* of all up to the blank line; single words may be read without it */
	struct health health;
	char reason[OBSERVED_REASON_MAX]; /* of the last failure */
	uint32_t failures;                /* since the record was made */
	uint32_t probe;                   /* number of the last probe: an answer to another one is ignored */
	bool waiting;                     /* for the answer to that probe */
	uint64_t sent_ms, deadline_ms;    /* of that probe */
	uint32_t latency_ms;              /* of the last probe that was answered */
	bool answered;                    /* one was */

	/* of the prober alone */
	int connection;        /* id of the TCP or TLS connection, 0 = none */
	uint64_t connected_ms; /* since then */
	uint32_t reopen_ms;    /* how long it will wait for the next one if this is lost soon */
	struct cadence keepalive;
	uint64_t served_ms;     /* the prober last found it in the topology */
	enum health_state told; /* up or down: what the event routes know */
	uint32_t keepalives;    /* sent */
	bool started;

	/* atomic words */
	uint64_t asked_ms, heard_ms; /* a call was sent there; a response came, or a call ended there otherwise */
	uint64_t calls, calls_failed;
};

int observed_init(void);
void observed_finish(void);

/** The record of a target, made if there is none; NULL if there is no room. */
struct observed *observed_of(uint32_t peer, const struct topology_target *target);
/** The record of a number, or NULL. */
struct observed *observed_at(uint32_t number);
/** The next record after @p number (0: the first), or NULL. */
struct observed *observed_next(uint32_t number);

/** The limits of lib/health as the topology sets them. */
struct health_limits observed_limits(const struct topology_settings *settings);

/** Where the target stands among the candidates of one call. Looking takes nothing. */
enum health_rank observed_admit(struct observed *observed, const struct topology_settings *settings);

/** A call is to go there: false if the target is half-open and this is not its trial call. */
bool observed_claim(struct observed *observed, const struct topology_settings *settings);

/** Feeds one observation; a change of state is logged. @p observed may be NULL. */
void observed_event(struct observed *observed, enum health_event event, const char *reason);

/** Frees the records of targets for which @p wanted says false. */
void observed_sweep(bool (*wanted)(const struct slot_key *key, void *context), void *context);

#endif
