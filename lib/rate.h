/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * A limit of calls per second over a window that slides in steps of 50 ms: whichever second one looks at, no more than
 * that many pass in it. Those may come at once.
 */
#ifndef TRUNKGATE_RATE_H
#define TRUNKGATE_RATE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	RATE_STEP_US = 50000,
	RATE_STEPS = 1000000 / RATE_STEP_US + 1, /**< the one that runs is not over yet */
};

/** All zero: nothing has passed. The caller locks it. */
struct rate {
	uint64_t step; /**< the last one that was looked at */
	uint32_t passed[RATE_STEPS];
};

/** May one more pass at @p now_us? Then it is counted. */
bool rate_admits(struct rate *rate, uint32_t per_second, uint64_t now_us);

#endif
