/* SPDX-License-Identifier: GPL-2.0-or-later */
/** A limit of calls per second as one word. */
#include "rate.h"

enum { SECOND_US = 1000000 };

bool rate_admits(uint64_t state_us, uint32_t per_second, uint64_t now_us, uint64_t *next_us)
{
	uint64_t interval_us = SECOND_US / per_second;
	uint64_t from_us = state_us > now_us ? state_us : now_us;
	if (from_us - now_us > SECOND_US - interval_us)
		return false;
	*next_us = from_us + interval_us;
	return true;
}
