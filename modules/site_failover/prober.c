/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Probes and keepalives. A probe asks whether a peer is well: our own deadline decides, and an answer counts only if it
 * carries the number of the probe that is waited for. A keepalive shows the peer that we are well: its answer is
 * nobody's.
 */
#include "prober.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <core/dprint.h>
#include <core/resolve.h>
#include <core/socket_info.h>
#include <core/timer_proc.h>
#include <modules/tm/timer.h>

#include "calls.h"
#include "connection.h"
#include "event.h"
#include "glue.h"
#include "late_branch.h"
#include "load.h"
#include "place.h"
#include "state.h"
#include "observed.h"
#include "options.h"

enum {
	TICK_US = 100000,
	START_SPREAD = 1000, /* ms over which the first probes are spread */
	SWEEP_INTERVAL = 60000,
};

/* The number of a probe and of its target's record travel through tm as a pointer that points to nothing. */
static void *ticket_of(uint32_t target, uint32_t probe)
{
	return (void *)((uintptr_t)target << 32 | probe);
}

/* ------- the answer ------- */

/* True if this probe is still waited for; then it is no more. */
static bool take_answer(struct observed *observed, uint32_t probe, bool answered)
{
	lock_get(&observed->lock);
	bool expected = observed->waiting && observed->probe == probe;
	if (expected)
		observed->waiting = false;
	if (expected && answered) {
		observed->answered = true;
		observed->latency_ms = (uint32_t)(site_clock_ms() - observed->sent_ms);
	}
	lock_release(&observed->lock);
	return expected;
}

static void probe_failed(struct observed *observed, enum health_event event, const char *reason)
{
	site_count(probes_failed);
	observed_event(observed, event, reason);
}

static void on_answer(struct cell *cell, int type, struct tmcb_params *event)
{
	uintptr_t ticket = (uintptr_t)*event->param;
	struct observed *observed = observed_at((uint32_t)(ticket >> 32));
	char reason[OBSERVED_REASON_MAX] = "no answer to OPTIONS";
	bool answered = event->rpl != FAKED_REPLY;
	if (!observed || !take_answer(observed, (uint32_t)ticket, answered))
		return;
	if (answered)
		snprintf(reason, sizeof(reason), "%d to OPTIONS", event->code);
	if (answered && !health_status_fails(event->code))
		observed_event(observed, HEALTH_PROBE_OK, "");
	else
		probe_failed(observed, HEALTH_PROBE_FAILED, reason);
}

/* ------- what is due for one target ------- */

struct turn {
	const struct topology_settings *settings;
	const struct place *place;
	const char *host;  /* for the Request-URI; "" = the address */
	struct span names; /* ours, a space between two; "" = our address */
	struct observed *observed;
	uint64_t now_ms;
	uint32_t index;
};

static void start_target(const struct turn *turn)
{
	struct observed *observed = turn->observed;
	if (observed->started)
		return;
	observed->started = true;
	uint64_t first = turn->now_ms + turn->index * (uint64_t)TICK_US / 1000 % START_SPREAD;
	observed->health.next_probe_ms = first;
	/* who knows us by name hears of us at once */
	observed->next_keepalive_ms = turn->names.len ? first : first + turn->settings->keepalive_interval_ms;
}

/* The name at this place of a list, from the start again after its end; empty if there is none. */
static struct span name_at(struct span names, uint32_t index)
{
	size_t start = 0;
	for (; index && start < names.len; start++)
		index -= names.ptr[start] == ' ';
	size_t end = start;
	while (end < names.len && names.ptr[end] != ' ')
		end++;
	return (struct span){names.ptr + start, end - start};
}

static uint32_t name_count(struct span names)
{
	uint32_t count = 1;
	for (size_t i = 0; i < names.len; i++)
		count += names.ptr[i] == ' ';
	return count;
}

static void send_probe(const struct turn *turn)
{
	struct observed *observed = turn->observed;
	lock_get(&observed->lock);
	uint32_t probe = ++observed->probe;
	observed->waiting = true;
	observed->sent_ms = turn->now_ms;
	observed->deadline_ms = turn->now_ms + turn->settings->probe_timeout_ms;
	lock_release(&observed->lock);
	site_count(probes_sent);
	struct options options = {
		.host = turn->host,
		.name = name_at(turn->names, 0),
		.limit_ms = turn->settings->probe_timeout_ms,
		.answered = on_answer,
		.ticket = ticket_of(observed->slot.number, probe),
	};
	if (options_send(turn->place, &options) && take_answer(observed, probe, false))
		probe_failed(observed, HEALTH_PROBE_REFUSED, "OPTIONS could not be sent");
	/* it may be gone before the next look */
	observed->connection = connection_find(turn->place);
}

static void check_deadline(const struct turn *turn)
{
	struct observed *observed = turn->observed;
	if (observed->waiting && turn->now_ms >= observed->deadline_ms && take_answer(observed, observed->probe, false))
		probe_failed(observed, HEALTH_PROBE_FAILED, "no answer to OPTIONS");
}

/* Was something sent there that nothing came back for? */
static bool is_owed(const struct observed *observed)
{
	return __atomic_load_n(&observed->asked_ms, __ATOMIC_RELAXED) >
	       __atomic_load_n(&observed->heard_ms, __ATOMIC_RELAXED);
}

/*
 * A connection that was refused, reset or closed, a handshake that failed: tm is told none of it. What waits on the
 * connection will get no answer, so it counts at once; with nothing waiting the target is asked again at once, which
 * opens a new connection before a call needs it.
 */
static void watch_connection(const struct turn *turn)
{
	struct observed *observed = turn->observed;
	int before = observed->connection;
	if (turn->place->transport == TRANSPORT_UDP)
		return;
	observed->connection = connection_find(turn->place);
	bool lost = before && before != observed->connection;
	bool refused = !observed->connection && observed->waiting && turn->now_ms > observed->sent_ms;
	if (!lost && !refused)
		return;
	if (observed->waiting && take_answer(observed, observed->probe, false))
		probe_failed(observed, HEALTH_PROBE_REFUSED, lost ? "connection lost" : "connection refused");
	else if (is_owed(observed))
		observed_event(observed, HEALTH_CALL_REFUSED, "connection lost");
	else
		observed->health.next_probe_ms = 0;
}

static bool probe_due(const struct turn *turn)
{
	struct observed *observed = turn->observed;
	struct health_limits limits = observed_limits(turn->settings);
	lock_get(&observed->lock);
	bool changed = health_tick(&observed->health, &limits, turn->now_ms);
	bool due = !observed->waiting && health_probe_due(&observed->health, &limits, turn->now_ms);
	lock_release(&observed->lock);
	if (changed)
		LM_NOTICE("peer %s: a target gets a trial call\n", turn->place->name);
	return due;
}

/* Each of our names in turn, evenly over the interval, on a clock that does not drift. */
static void keep_alive(const struct turn *turn)
{
	struct observed *observed = turn->observed;
	uint32_t count = name_count(turn->names), interval = turn->settings->keepalive_interval_ms / count;
	if (interval == 0 || turn->now_ms < observed->next_keepalive_ms)
		return;
	observed->next_keepalive_ms += interval;
	if (observed->next_keepalive_ms <= turn->now_ms)
		observed->next_keepalive_ms = turn->now_ms + interval;
	struct options options = {
		.host = turn->host,
		.name = name_at(turn->names, observed->keepalives++ % count),
		.limit_ms = turn->settings->probe_timeout_ms,
	};
	if (options_send(turn->place, &options) == 0)
		site_count(keepalives_sent);
}

/* What calls and probes only store is told here, in the one process that may take its time. */
static void tell(const struct turn *turn)
{
	struct observed *observed = turn->observed;
	enum health_state state = observed->health.state;
	/* half-open is still what it was before */
	if (state == HEALTH_PROBING || state == observed->told)
		return;
	observed->told = state;
	/* a peer that was away may have lost its calls */
	if (state == HEALTH_UP)
		calls_audit_peer(turn->place->peer);
	struct event event = {
		.kind = state == HEALTH_UP ? EVENT_UP : EVENT_DOWN,
		.place = turn->place,
		.reason = observed->reason,
	};
	event_run(&event);
}

static void serve_target(struct turn *turn)
{
	start_target(turn);
	turn->observed->served_ms = turn->now_ms;
	if (turn->place->admin == ADMIN_DISABLED) {
		turn->observed->waiting = false;
		return;
	}
	check_deadline(turn);
	watch_connection(turn);
	if (probe_due(turn))
		send_probe(turn);
	keep_alive(turn);
	tell(turn);
}

/* ------- all targets ------- */

/* For the Request-URI: the name of the host, of an SRV record's host, or "" for an address. */
static void host_of(const struct place *place, const struct topology_target *target, char host[TOPOLOGY_HOST_MAX + 1])
{
	str name = str_of(place->host);
	host[0] = '\0';
	if (target->name.len)
		place_copy_text(host, TOPOLOGY_HOST_MAX + 1, target->name);
	else if (!str2ip(&name) && !str2ip6(&name))
		memcpy(host, place->host, sizeof(place->host));
}

static void tell_drained(const struct place *place)
{
	struct load *load = load_of(place->peer);
	if (!load)
		return;
	bool drained = place->admin != ADMIN_AUTO && load->live == 0 && load->trying == 0 && load->calling == 0;
	struct event event = {.kind = EVENT_DRAINED, .place = place, .reason = ""};
	if (drained && !load->drained)
		event_run(&event);
	load->drained = drained;
}

static void tell_node_drained(const struct topology_settings *settings)
{
	static bool told;
	bool drained = site_is_closed(settings) && calls_count() == 0 && calls_trying() == 0;
	struct event event = {.kind = EVENT_DRAINED, .reason = ""};
	if (drained && !told)
		event_run(&event);
	told = drained;
}

static void serve_peer(const struct topology_view *view, const struct peer_view *peer,
		       const struct topology_settings *settings, uint32_t *index)
{
	static char names[TOPOLOGY_LIST_MAX + 1];
	struct topology_target target = {};
	struct group_view group;
	struct place place;
	char host[TOPOLOGY_HOST_MAX + 1];
	if (place_of_peer(view, peer, &place) || topology_group(view, peer->group, &group))
		return;
	place_copy_text(names, sizeof(names), group.keepalive_names);
	tell_drained(&place);
	for (uint32_t i = 0; i < peer->target_count && topology_current(view); i++) {
		if (topology_target(view, peer->first_target + i, &target))
			continue;
		place_set_target(&place, &target);
		host_of(&place, &target, host);
		struct turn turn = {
			.settings = settings,
			.place = &place,
			.host = host,
			.names = span_of(names),
			.observed = observed_at(place.target),
			.now_ms = site_clock_ms(),
			.index = (*index)++,
		};
		if (turn.observed)
			serve_target(&turn);
	}
}

static void serve_all(void)
{
	struct topology_view view;
	struct topology_settings settings;
	struct peer_view peer;
	uint32_t index = 0;
	if (topology_open(site_state.provisioning.region, &view) || topology_settings(&view, &settings))
		return;
	tell_node_drained(&settings);
	/* a new picture ends the round: the next turn reads it from the start */
	for (uint32_t i = 0; topology_peer(&view, i, &peer) == 0 && topology_current(&view); i++)
		serve_peer(&view, &peer, &settings, &index);
}

static bool is_configured(const struct slot_key *key, void *context)
{
	struct peer_view peer;
	struct topology_target target;
	if (topology_peer_by_id(context, key->peer, &peer))
		return false;
	for (uint32_t i = 0; i < peer.target_count; i++)
		if (topology_target(context, peer.first_target + i, &target) == 0 && target.port == key->port &&
		    memcmp(target.address, key->address, sizeof(key->address)) == 0)
			return true;
	return false;
}

static bool is_peer(const struct slot_key *key, void *context)
{
	struct peer_view peer;
	return topology_peer_by_id(context, key->peer, &peer) == 0;
}

static void sweep(uint64_t now_ms)
{
	static uint64_t next_ms;
	struct topology_view view;
	if (now_ms < next_ms || topology_open(site_state.provisioning.region, &view))
		return;
	next_ms = now_ms + SWEEP_INTERVAL;
	observed_sweep(is_configured, &view);
	load_sweep(is_peer, &view);
}

static void audit(void)
{
	struct topology_settings settings;
	if (site_settings(&settings) == 0)
		calls_audit(&settings);
}

static void prober_tick(unsigned ticks, void *context)
{
	static uint64_t next_expire_ms;
	uint64_t now_ms = site_clock_ms();
	serve_all();
	audit();
	sweep(now_ms);
	if (now_ms < next_expire_ms)
		return;
	next_expire_ms = now_ms + 1000;
	late_branch_expire();
}

/* ------- the process ------- */

int prober_register(void)
{
	return register_basic_timers(1);
}

int prober_start(void)
{
	return fork_basic_utimer(PROC_TIMER, "trunkgate prober", 1, prober_tick, NULL, TICK_US) < 0 ? -1 : 0;
}
