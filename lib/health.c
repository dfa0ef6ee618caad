/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Health of one target as a pure state machine. */
#include "health.h"

#include <stdbool.h>

static const char *const state_names[] = {
	[HEALTH_UP] = "up",
	[HEALTH_PROBING] = "probing",
	[HEALTH_DOWN] = "down",
};

const char *health_state_name(enum health_state state)
{
	return state_names[state];
}

static int enter(struct health *health, enum health_state state, uint64_t now_ms)
{
	*health = (struct health){.state = state, .since_ms = now_ms};
	return 1;
}

static void count(uint8_t *counter)
{
	if (*counter < UINT8_MAX)
		(*counter)++;
}

static int fail(struct health *health, bool at_once, const struct health_limits *limits, uint64_t now_ms)
{
	health->successes = 0;
	count(&health->failures);
	if (health->state == HEALTH_DOWN)
		return 0;
	if (at_once || health->state == HEALTH_PROBING || health->failures >= limits->down_after)
		return enter(health, HEALTH_DOWN, now_ms);
	return 0;
}

static int succeed(struct health *health, const struct health_limits *limits, uint64_t now_ms)
{
	health->failures = 0;
	if (health->state == HEALTH_UP)
		return 0;
	uint8_t successes = health->successes;
	count(&successes);
	if (successes >= limits->up_after)
		return enter(health, HEALTH_UP, now_ms);
	if (health->state == HEALTH_DOWN)
		enter(health, HEALTH_PROBING, now_ms);
	int changed = health->successes != successes;
	health->successes = successes;
	return changed && successes == 1;
}

int health_event(struct health *health, enum health_event event, const struct health_limits *limits, uint64_t now_ms)
{
	switch (event) {
	case HEALTH_PROBE_OK:
	case HEALTH_CALL_OK:
		return succeed(health, limits, now_ms);
	case HEALTH_PROBE_FAILED:
	case HEALTH_CALL_SILENT:
		return fail(health, false, limits, now_ms);
	case HEALTH_CALL_REFUSED:
		return fail(health, true, limits, now_ms);
	}
	return 0;
}
