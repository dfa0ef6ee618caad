/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * What is done again and again, on a clock that does not drift: each time is a little late by chance, none makes the
 * next one later. So what began together is not done together for ever.
 */
#ifndef TRUNKGATE_CADENCE_H
#define TRUNKGATE_CADENCE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	CADENCE_LATE_SHARE = 20, /**< late by up to this part of the interval */
	CADENCE_LATE_MAX_MS = 1000,
};

struct cadence {
	uint64_t next_ms; /**< on the clock */
	uint32_t late_ms; /**< the next one is so much later */
};

/** True if it is to be done now. Times that were missed are not made up for. @p random: 32 evenly spread bits. */
bool cadence_due(struct cadence *cadence, uint32_t interval_ms, uint64_t now_ms, uint32_t random);

#endif
