/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The grace time of a drain. When it began is stored by the wall clock, so that it outlives a restart; from the moment
 * at which it is first looked at it runs on a clock that never jumps.
 */
#ifndef TRUNKGATE_GRACE_H
#define TRUNKGATE_GRACE_H

#include <stdbool.h>
#include <stdint.h>

/** All zero: no drain was looked at. The caller locks it. */
struct grace {
	uint64_t since_ms;  /**< by the wall clock: which drain this is */
	uint64_t passed_ms; /**< of it, when it was first looked at */
	uint64_t seen_ms;   /**< that moment, by the steady clock */
};

/** Has the drain that began at @p since_ms lasted for @p length_ms? @p wall_ms is read for a new drain only. */
bool grace_is_over(struct grace *grace, uint64_t since_ms, uint64_t length_ms, uint64_t wall_ms, uint64_t steady_ms);

#endif
