/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Statistics of each target, and of all together. Kamailio takes counters only before it forks, when no topology is
 * known yet: so there is a fixed number of them, named by the number of the target's record, which site_failover.list
 * shows.
 */
#include "statistics.h"

#include <stdio.h>

#include <core/counters.h>
#include <core/dprint.h>

#include "calls.h"
#include "load.h"
#include "observed.h"
#include "state.h"

/* Only those that the topology has now; the prober stamps them ten times a second. */
enum { GONE_MS = 5000 };

static const struct observed *target_now(uint32_t number)
{
	const struct observed *observed = observed_at(number);
	return observed && observed->started && site_clock_ms() - observed->served_ms < GONE_MS ? observed : NULL;
}

static counter_val_t state_of(const struct observed *observed)
{
	return observed->health.state + 1;
}

static counter_val_t latency_of(const struct observed *observed)
{
	return observed->latency_ms;
}

static counter_val_t failures_of(const struct observed *observed)
{
	return observed->failures;
}

static counter_val_t calls_of(const struct observed *observed)
{
	return (counter_val_t)observed->calls;
}

static counter_val_t calls_failed_of(const struct observed *observed)
{
	return (counter_val_t)observed->calls_failed;
}

static counter_val_t live_of(const struct observed *observed)
{
	const struct load *load = load_of(observed->slot.key.peer);
	return load ? load->live : 0;
}

static const struct {
	const char *name, *text;
	counter_val_t (*read)(const struct observed *observed);
} of_target[] = {
	{"state", "0: no such target, 1: up, 2: probing, 3: down", state_of},
	{"latency_ms", "of the last probe that was answered", latency_of},
	{"failures", "of probes and calls", failures_of},
	{"calls", "sent there", calls_of},
	{"calls_failed", "that went on to another target", calls_failed_of},
	{"live", "live calls of its peer", live_of},
	{},
};

enum { KINDS = 8 };

static counter_val_t read_target(counter_handle_t handle, void *parameter)
{
	uintptr_t word = (uintptr_t)parameter;
	const struct observed *observed = target_now((uint32_t)(word / KINDS));
	return observed ? of_target[word % KINDS].read(observed) : 0;
}

static counter_val_t count_state(counter_handle_t handle, void *parameter)
{
	counter_val_t count = 0;
	const struct observed *observed = NULL;
	while ((observed = observed_next(observed ? observed->slot.number : 0)))
		count += target_now(observed->slot.number) &&
			 observed->health.state == (enum health_state)(uintptr_t)parameter;
	return count;
}

static counter_val_t count_live(counter_handle_t handle, void *parameter)
{
	return calls_count();
}

static counter_val_t is_draining(counter_handle_t handle, void *parameter)
{
	struct topology_settings settings;
	return site_settings(&settings) == 0 && settings.draining;
}

static const struct {
	const char *name, *text;
	counter_cbk_f read;
	uintptr_t parameter;
} of_all[] = {
	{"targets_up", "targets that are up", count_state, HEALTH_UP},
	{"targets_probing", "targets that are half-open", count_state, HEALTH_PROBING},
	{"targets_down", "targets that are down", count_state, HEALTH_DOWN},
	{"calls_live", "live calls", count_live, 0},
	{"node_draining", "1: this node takes no new calls, or soon will not", is_draining, 0},
	{},
};

static int register_one(const char *name, const char *text, counter_cbk_f read, uintptr_t parameter)
{
	counter_handle_t handle;
	return counter_register(&handle, "site_failover", name, CNT_F_NO_RESET, read, (void *)parameter, text, 0) < 0;
}

int statistics_register(void)
{
	char name[64];
	int failed = 0;
	for (size_t i = 0; of_all[i].name; i++)
		failed |= register_one(of_all[i].name, of_all[i].text, of_all[i].read, of_all[i].parameter);
	for (int number = 1; number <= site_state.parameters.statistics_max; number++)
		for (uintptr_t kind = 0; of_target[kind].name; kind++) {
			snprintf(name, sizeof(name), "target_%d_%s", number, of_target[kind].name);
			failed |=
				register_one(name, of_target[kind].text, read_target, (uintptr_t)number * KINDS + kind);
		}
	return failed ? -1 : 0;
}
