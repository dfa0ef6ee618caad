/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What is done again and again. */
#include "cadence.h"

static uint32_t late(uint32_t interval_ms, uint32_t random)
{
	uint32_t most = interval_ms / CADENCE_LATE_SHARE;
	if (most > CADENCE_LATE_MAX_MS)
		most = CADENCE_LATE_MAX_MS;
	return (uint32_t)(((uint64_t)most * random) >> 32);
}

bool cadence_due(struct cadence *cadence, uint32_t interval_ms, uint64_t now_ms, uint32_t random)
{
	if (interval_ms == 0 || now_ms < cadence->next_ms + cadence->late_ms)
		return false;
	cadence->next_ms += interval_ms;
	if (cadence->next_ms <= now_ms)
		cadence->next_ms = now_ms + interval_ms;
	cadence->late_ms = late(interval_ms, random);
	return true;
}
