/* SPDX-License-Identifier: GPL-2.0-or-later */
/** A limit of calls per second over a sliding window. */
#include "rate.h"

#include <string.h>

/* Forgets the steps that left the window; a clock that went back stays at the last step. */
static void slide(struct rate *rate, uint64_t step)
{
	if (step >= rate->step + RATE_STEPS) {
		memset(rate->passed, 0, sizeof(rate->passed));
		rate->step = step;
	}
	while (rate->step < step)
		rate->passed[++rate->step % RATE_STEPS] = 0;
}

bool rate_admits(struct rate *rate, uint32_t per_second, uint64_t now_us)
{
	uint64_t sum = 0;
	slide(rate, now_us / RATE_STEP_US);
	for (unsigned i = 0; i < RATE_STEPS; i++)
		sum += rate->passed[i];
	if (sum >= per_second)
		return false;
	rate->passed[rate->step % RATE_STEPS]++;
	return true;
}
