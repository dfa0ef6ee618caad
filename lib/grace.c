/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The grace time of a drain. */
#include "grace.h"

bool grace_is_over(struct grace *grace, uint64_t since_ms, uint64_t length_ms, uint64_t wall_ms, uint64_t steady_ms)
{
	/* a wall clock that was set back meanwhile gives the whole time again, never more */
	if (grace->since_ms != since_ms)
		*grace = (struct grace){.since_ms = since_ms,
					.passed_ms = wall_ms > since_ms ? wall_ms - since_ms : 0,
					.seen_ms = steady_ms};
	return grace->passed_ms + (steady_ms - grace->seen_ms) >= length_ms;
}
