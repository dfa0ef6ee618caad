/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Health of one target as a pure state machine. */
#include "health.h"

#include <stddef.h>

static const char *const state_names[] = {
	[HEALTH_UP] = "up",
	[HEALTH_PROBING] = "probing",
	[HEALTH_DOWN] = "down",
};

const char *health_state_name(enum health_state state)
{
	return state_names[state];
}

bool health_status_fails(int status)
{
	static const int failing[] = {408, 503, 504};
	for (size_t i = 0; i < sizeof(failing) / sizeof(*failing); i++)
		if (failing[i] == status)
			return true;
	return false;
}

/* ------- the states ------- */

static uint32_t shorter(uint32_t interval_ms)
{
	return interval_ms && interval_ms < HEALTH_HALF_OPEN_MS ? interval_ms : HEALTH_HALF_OPEN_MS;
}

static int enter(struct health *health, enum health_state state, const struct health_limits *limits, uint64_t now_ms)
{
	health->warming = state == HEALTH_UP;
	health->state = state;
	health->failures = health->successes = 0;
	health->since_ms = now_ms;
	health->next_trial_ms = now_ms;
	if (state == HEALTH_PROBING)
		health->next_probe_ms = now_ms + shorter(limits->probe_interval_ms);
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
		return enter(health, HEALTH_DOWN, limits, now_ms);
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
		return enter(health, HEALTH_UP, limits, now_ms);
	int changed = health->state == HEALTH_DOWN ? enter(health, HEALTH_PROBING, limits, now_ms) : 0;
	health->successes = successes;
	return changed;
}

/* Some services carry calls and never answer OPTIONS: no probe can find that they are back. */
static bool only_calls_tell(const struct health *health, const struct health_limits *limits)
{
	return limits->probe_interval_ms == 0 || (health->answers_calls && !health->answers_probes);
}

/* Silence to a probe says nothing if calls were answered meanwhile and a probe never was. */
static int probe_failed(struct health *health, const struct health_limits *limits, uint64_t now_ms)
{
	bool alive = health->answered_call && !health->answers_probes;
	health->answered_call = false;
	return alive ? 0 : fail(health, false, limits, now_ms);
}

int health_event(struct health *health, enum health_event event, const struct health_limits *limits, uint64_t now_ms)
{
	switch (event) {
	case HEALTH_PROBE_OK:
		health->answers_probes = true;
		return succeed(health, limits, now_ms);
	case HEALTH_CALL_OK:
		health->answers_calls = health->answered_call = true;
		return succeed(health, limits, now_ms);
	case HEALTH_PROBE_FAILED:
		return probe_failed(health, limits, now_ms);
	case HEALTH_CALL_FAILED:
		return fail(health, false, limits, now_ms);
	case HEALTH_PROBE_REFUSED:
	case HEALTH_CALL_REFUSED:
		return fail(health, true, limits, now_ms);
	}
	return 0;
}

/* ------- the timers ------- */

int health_tick(struct health *health, const struct health_limits *limits, uint64_t now_ms)
{
	if (health->warming && now_ms - health->since_ms >= limits->slow_start_ms)
		health->warming = false;
	if (health->state != HEALTH_DOWN || !only_calls_tell(health, limits) ||
	    now_ms - health->since_ms < limits->retry_ms)
		return 0;
	return enter(health, HEALTH_PROBING, limits, now_ms);
}

bool health_probe_due(struct health *health, const struct health_limits *limits, uint64_t now_ms)
{
	uint32_t interval = limits->probe_interval_ms;
	if (interval == 0 || now_ms < health->next_probe_ms)
		return false;
	if (health->state == HEALTH_PROBING)
		interval = shorter(interval);
	health->next_probe_ms += interval;
	/* probes that were missed are not made up for */
	if (health->next_probe_ms <= now_ms)
		health->next_probe_ms = now_ms + interval;
	return true;
}

/* ------- the place among the candidates ------- */

static bool in_share(const struct health *health, const struct health_limits *limits, uint64_t now_ms, uint32_t random)
{
	uint64_t passed = now_ms - health->since_ms;
	if (!health->warming || passed >= limits->slow_start_ms)
		return true;
	uint64_t share = HEALTH_LEAST_SHARE + (100 - HEALTH_LEAST_SHARE) * passed / limits->slow_start_ms;
	return ((uint64_t)random * 100) >> 32 < share;
}

static bool trial_due(const struct health *health, const struct health_limits *limits, uint64_t now_ms)
{
	return health->state == HEALTH_PROBING && only_calls_tell(health, limits) && now_ms >= health->next_trial_ms;
}

bool health_take_trial(struct health *health, const struct health_limits *limits, uint64_t now_ms)
{
	if (!trial_due(health, limits, now_ms))
		return false;
	health->next_trial_ms = now_ms + HEALTH_HALF_OPEN_MS;
	return true;
}

enum health_rank health_admit(const struct health *health, const struct health_limits *limits, uint64_t now_ms,
			      uint32_t random)
{
	switch (health->state) {
	case HEALTH_UP:
		return in_share(health, limits, now_ms, random) ? HEALTH_RANK_USABLE : HEALTH_RANK_WARMING;
	case HEALTH_PROBING:
		return trial_due(health, limits, now_ms) ? HEALTH_RANK_USABLE : HEALTH_RANK_HALF_OPEN;
	case HEALTH_DOWN:
		break;
	}
	return HEALTH_RANK_DEAD;
}
