/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Health of one target as a pure state machine with its own timers; the caller brings the clock (milliseconds, any
 * origin) and chance. docs/failover-states.md shows the states.
 */
#ifndef TRUNKGATE_HEALTH_H
#define TRUNKGATE_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

enum health_state { HEALTH_UP = 0, HEALTH_PROBING, HEALTH_DOWN };
enum health_event {
	HEALTH_PROBE_OK,      /**< any final answer to OPTIONS that health_status_fails() does not name */
	HEALTH_PROBE_FAILED,  /**< silence, or one that it names */
	HEALTH_PROBE_REFUSED, /**< could not be sent, or the connection was lost before the answer: counts at once */
	HEALTH_CALL_OK,       /**< any answer of a call that is no failure */
	HEALTH_CALL_FAILED,   /**< silence, nothing above 100, or an answer that health_status_fails() names */
	HEALTH_CALL_REFUSED,  /**< as HEALTH_PROBE_REFUSED, with a call */
};

struct health {
	enum health_state state;
	uint8_t failures, successes;        /**< in a row */
	bool warming;                       /**< up again: its share of the calls grows */
	bool answers_probes, answers_calls; /**< it has done so since the record was made */
	bool answered_call;                 /**< since the last probe that failed */
	uint64_t since_ms;                  /**< of the state */
	uint64_t next_probe_ms, next_trial_ms;
};

struct health_limits {
	uint8_t down_after, up_after;
	uint32_t probe_interval_ms; /**< 0: no probes, calls alone tell */
	uint32_t retry_ms;          /**< down so long, a target that only calls can test gets one */
	uint32_t slow_start_ms;     /**< from up to the full share; 0: at once */
};

enum {
	HEALTH_HALF_OPEN_MS = 1000, /**< between probes, or trial calls, while probing */
	HEALTH_LEAST_SHARE = 10,    /**< per cent of the calls at the start of a slow start */
};

/** Where a target stands in the order of candidates: the first kind first. */
enum health_rank {
	HEALTH_RANK_USABLE,    /**< up, or half-open and due for a trial call */
	HEALTH_RANK_WARMING,   /**< up again, but this call is not in its share yet */
	HEALTH_RANK_HALF_OPEN, /**< probing */
	HEALTH_RANK_DEAD,      /**< down: a last resort */
};

const char *health_state_name(enum health_state state); /**< "up", "probing", "down" */

/** The one list of answers that mean "try another": 408, 503, 504. */
bool health_status_fails(int status);

/** Feeds one observation. Returns 1 if the state changed, else 0. */
int health_event(struct health *health, enum health_event event, const struct health_limits *limits, uint64_t now_ms);

/**
 * Time passes: down becomes probing if only calls can test the target, and a slow start ends. Returns 1 if the state
 * changed, else 0.
 */
int health_tick(struct health *health, const struct health_limits *limits, uint64_t now_ms);

/** True if a probe must be sent now; the next one is scheduled on a clock that does not drift. */
bool health_probe_due(struct health *health, const struct health_limits *limits, uint64_t now_ms);

/** Where the target stands for one call; @p random: 32 evenly spread bits. Changes nothing: a trial call that is due is
 * due until health_take_trial(). */
enum health_rank health_admit(const struct health *health, const struct health_limits *limits, uint64_t now_ms,
			      uint32_t random);

/** A call is on its way to the target: the next trial call is due a second later. True if this one was due. */
bool health_take_trial(struct health *health, const struct health_limits *limits, uint64_t now_ms);

#endif
