/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Health of one target as a pure state machine; the caller brings the clock (milliseconds, any origin). */
#ifndef TRUNKGATE_HEALTH_H
#define TRUNKGATE_HEALTH_H

#include <stdint.h>

enum health_state { HEALTH_UP = 0, HEALTH_PROBING, HEALTH_DOWN };
enum health_event {
	HEALTH_PROBE_OK,     /**< any final answer to OPTIONS but 408, 503, 504 */
	HEALTH_PROBE_FAILED, /**< silence, error at sending, 408, 503, 504 */
	HEALTH_CALL_OK,      /**< any answer of a call that is no failure */
	HEALTH_CALL_SILENT,  /**< silence or 408, 503, 504 of a call */
	HEALTH_CALL_REFUSED, /**< error at sending: counts at once */
};

struct health {
	enum health_state state;
	uint8_t failures, successes; /**< in a row */
	uint64_t since_ms;           /**< of the state */
};

struct health_limits {
	uint8_t down_after, up_after;
};

const char *health_state_name(enum health_state state); /**< "up", "probing", "down" */

/** up: failures reach down_after -> down (a refusal at once). down: a success -> probing. probing: successes reach
 *  up_after -> up, a failure -> down. Returns 1 if the state changed, else 0. */
int health_event(struct health *health, enum health_event event, const struct health_limits *limits, uint64_t now_ms);

#endif
