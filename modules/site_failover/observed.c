/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What the node observed of each target, in shared memory. */
#include "observed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <core/dprint.h>
#include <core/rand/fastrand.h>

#include "place.h"
#include "state.h"

static struct slots *table;

int observed_init(void)
{
	table = slots_new((uint32_t)site_state.parameters.targets_max, sizeof(struct observed));
	return table ? 0 : -ENOMEM;
}

void observed_finish(void)
{
	slots_free(table);
	table = NULL;
}

static void start(void *record)
{
	struct observed *observed = record;
	lock_init(&observed->lock);
	observed->health.since_ms = site_clock_ms();
}

struct observed *observed_of(uint32_t peer, const struct topology_target *target)
{
	struct slot_key key = {.peer = peer, .port = target->port};
	memcpy(key.address, target->address, sizeof(key.address));
	return slots_find_or_make(table, &key, start);
}

struct observed *observed_at(uint32_t number)
{
	return slots_at(table, number);
}

struct observed *observed_next(uint32_t number)
{
	return slots_next(table, number);
}

struct health_limits observed_limits(const struct topology_settings *settings)
{
	return (struct health_limits){
		.down_after = settings->down_after,
		.up_after = settings->up_after,
		.probe_interval_ms = settings->probe_interval_ms,
		.retry_ms = (uint32_t)site_state.parameters.retry_interval,
		.slow_start_ms = settings->slow_start_ms,
	};
}

enum health_rank observed_admit(struct observed *observed, const struct topology_settings *settings)
{
	struct health_limits limits = observed_limits(settings);
	/* nothing to take or to draw: no lock */
	if (observed->health.state == HEALTH_UP && !observed->health.warming)
		return HEALTH_RANK_USABLE;
	lock_get(&observed->lock);
	enum health_rank rank = health_admit(&observed->health, &limits, site_clock_ms(), fastrand());
	lock_release(&observed->lock);
	return rank;
}

bool observed_claim(struct observed *observed, const struct topology_settings *settings)
{
	struct health_limits limits = observed_limits(settings);
	if (observed->health.state != HEALTH_PROBING)
		return true;
	lock_get(&observed->lock);
	bool mine = observed->health.state != HEALTH_PROBING ||
		    health_take_trial(&observed->health, &limits, site_clock_ms());
	lock_release(&observed->lock);
	return mine;
}

/* ------- events ------- */

static bool is_failure(enum health_event event)
{
	return event != HEALTH_PROBE_OK && event != HEALTH_CALL_OK;
}

static void log_change(struct observed *observed, enum health_state state, const char *reason)
{
	char name[FIELD_NAME_MAX + 1] = "?", address[PLACE_ADDRESS_MAX];
	place_name_of(observed->slot.key.peer, name);
	place_write_address(&observed->slot.key, address);
	if (state == HEALTH_DOWN)
		LM_WARN("peer %s: %s is down: %s\n", name, address, reason);
	else
		LM_NOTICE("peer %s: %s is %s\n", name, address, health_state_name(state));
}

void observed_event(struct observed *observed, enum health_event event, const char *reason)
{
	struct topology_settings settings;
	if (!observed)
		return;
	/* the one case that each call brings: nothing would change */
	if (event == HEALTH_CALL_OK && observed->health.state == HEALTH_UP && observed->health.failures == 0 &&
	    observed->health.answers_calls)
		return;
	if (site_settings(&settings))
		return;
	struct health_limits limits = observed_limits(&settings);
	lock_get(&observed->lock);
	if (is_failure(event)) {
		observed->failures++;
		snprintf(observed->reason, sizeof(observed->reason), "%s", reason);
	}
	bool changed = health_event(&observed->health, event, &limits, site_clock_ms());
	enum health_state state = observed->health.state;
	lock_release(&observed->lock);
	if (changed)
		log_change(observed, state, reason);
}

void observed_sweep(bool (*wanted)(const struct slot_key *key, void *context), void *context)
{
	slots_sweep(table, wanted, context);
}
