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
#include <core/rand/fastrand.h>
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
#include "node.h"
#include "place.h"
#include "state.h"
#include "observed.h"
#include "options.h"

enum {
	TICK_US = 100000,
	START_SPREAD = 1000, /* ms over which the first probes are spread */
	START_CHANCE = 500,  /* ms */
	SWEEP_INTERVAL = 60000,
	ABSENCE = 2000, /* ms: a target that was not served for longer was out of the topology */
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

static bool probes(const struct turn *turn)
{
	return turn->settings->probe_interval_ms != 0;
}

static void start_target(const struct turn *turn)
{
	struct observed *observed = turn->observed;
	if (observed->started)
		return;
	observed->started = true;
	/* by chance besides: nodes that start together do not ask together */
	uint64_t first =
		turn->now_ms + turn->index * (uint64_t)TICK_US / 1000 % START_SPREAD + fastrand_max(START_CHANCE);
	observed->health.next_probe_ms = first;
	/* who knows us by name hears of us at once */
	/* where nothing else opens the connection a keepalive does, before the first call */
	bool opens = !probes(turn) && turn->place->transport != TRANSPORT_UDP;
	observed->keepalive.next_ms = turn->names.len || opens ? first : first + turn->settings->keepalive_interval_ms;
	observed->served_ms = turn->now_ms;
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

static void note_connection(const struct turn *turn, int connection)
{
	if (connection && connection != turn->observed->connection)
		turn->observed->connected_ms = turn->now_ms;
	turn->observed->connection = connection;
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
		probe_failed(observed,
			     turn->place->transport == TRANSPORT_UDP ? HEALTH_PROBE_FAILED : HEALTH_PROBE_REFUSED,
			     "OPTIONS could not be sent");
	/* it may be gone before the next look */
	if (!observed->connection)
		note_connection(turn, connection_find(turn->place, 0));
}

static void check_deadline(const struct turn *turn)
{
	struct observed *observed = turn->observed;
	if (observed->waiting && turn->now_ms >= observed->deadline_ms && take_answer(observed, observed->probe, false))
		probe_failed(observed, HEALTH_PROBE_FAILED, "no answer to OPTIONS");
}

/* Did a call go there just now, and has nothing come of any since? A call that is silent for longer is given up. */
static bool is_owed(const struct turn *turn)
{
	uint64_t asked_ms = __atomic_load_n(&turn->observed->asked_ms, __ATOMIC_RELAXED);
	return asked_ms > __atomic_load_n(&turn->observed->heard_ms, __ATOMIC_RELAXED) &&
	       turn->now_ms < asked_ms + turn->settings->silence_limit_ms;
}

/* What opens a connection: the probe, or a keepalive where there are none. */
static uint32_t open_interval(const struct turn *turn)
{
	return probes(turn) ? turn->settings->probe_interval_ms : turn->settings->keepalive_interval_ms;
}

static void open_within(const struct turn *turn, uint32_t wait_ms)
{
	uint64_t *next_ms = probes(turn) ? &turn->observed->health.next_probe_ms : &turn->observed->keepalive.next_ms;
	if (*next_ms > turn->now_ms + wait_ms)
		*next_ms = turn->now_ms + wait_ms;
}

/* The first connection that is lost is opened anew at once; if the next ones do not last either, twice as late each. */
static void open_anew(const struct turn *turn)
{
	struct observed *observed = turn->observed;
	uint32_t interval_ms = open_interval(turn);
	if (turn->now_ms - observed->connected_ms >= interval_ms)
		observed->reopen_ms = 0;
	open_within(turn, observed->reopen_ms);
	observed->reopen_ms = observed->reopen_ms ? observed->reopen_ms * 2 : HEALTH_HALF_OPEN_MS;
	if (observed->reopen_ms > interval_ms)
		observed->reopen_ms = interval_ms;
}

/*
 * A connection that was refused, reset or closed, a handshake that failed: tm is told none of it. What waits on the
 * connection will get no answer, so it counts at once; in any case the target is asked again, which opens a new
 * connection before a call needs it.
 */
static void watch_connection(const struct turn *turn)
{
	struct observed *observed = turn->observed;
	int before = observed->connection;
	if (turn->place->transport == TRANSPORT_UDP)
		return;
	note_connection(turn, connection_find(turn->place, before));
	bool lost = before && before != observed->connection;
	bool refused = !observed->connection && observed->waiting && turn->now_ms > observed->sent_ms;
	if (!lost && !refused)
		return;
	if (observed->waiting && take_answer(observed, observed->probe, false))
		probe_failed(observed, HEALTH_PROBE_REFUSED, lost ? "connection lost" : "connection refused");
	else if (is_owed(turn))
		observed_event(observed, HEALTH_CALL_REFUSED, "connection lost");
	if (lost)
		open_anew(turn);
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

/* Each of our names in turn, evenly over the interval. */
static void keep_alive(const struct turn *turn)
{
	struct observed *observed = turn->observed;
	uint32_t count = name_count(turn->names), interval = turn->settings->keepalive_interval_ms / count;
	if (!cadence_due(&observed->keepalive, interval, turn->now_ms, fastrand()))
		return;
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

/* Whatever was on its way or connected is long over when the target is served again: that is asked at once. */
static void rest(const struct turn *turn)
{
	struct observed *observed = turn->observed;
	observed->waiting = false;
	observed->connection = 0;
	observed->reopen_ms = 0;
	open_within(turn, 0);
}

static void serve_target(struct turn *turn)
{
	struct observed *observed = turn->observed;
	start_target(turn);
	bool missed = turn->now_ms - observed->served_ms > ABSENCE;
	observed->served_ms = turn->now_ms;
	if (missed || turn->place->admin == ADMIN_DISABLED)
		rest(turn);
	if (turn->place->admin == ADMIN_DISABLED)
		return;
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
	bool drained = node_is_closed(settings) && calls_count() == 0 && calls_trying() == 0;
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

/* While nothing is published, no peer is known to be limited or not. */
static void audit(void)
{
	struct topology_settings settings;
	if (site_settings(&settings) == 0)
		calls_audit();
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
