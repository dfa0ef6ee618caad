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

#include "glue.h"
#include "late_branch.h"
#include "place.h"
#include "state.h"
#include "observed.h"

enum {
	TICK_US = 100000,
	HALF_OPEN_INTERVAL = 1000, /* ms */
	START_SPREAD = 1000,       /* ms over which the first probes are spread */
	LOOK_UP_INTERVAL = 30000,  /* ms; Kamailio's DNS cache keeps to the records' own time */
	LOOK_UP_AGAIN = 5000,      /* ms after a failure */
	SWEEP_INTERVAL = 60000,
	MESSAGE_URI_MAX = TOPOLOGY_HOST_MAX + 64,
};

/* ------- sending OPTIONS ------- */

/* The number of a probe and the peer it went to travel through tm as a pointer that points to nothing. */
static void *ticket_of(uint32_t peer, uint32_t probe)
{
	return (void *)((uintptr_t)peer << 32 | probe);
}

static void on_answer(struct cell *cell, int type, struct tmcb_params *event);

static struct socket_info *socket_of(const struct place *place)
{
	static const int protocols[] = {
		[TRANSPORT_UDP] = PROTO_UDP,
		[TRANSPORT_TCP] = PROTO_TCP,
		[TRANSPORT_TLS] = PROTO_TLS,
	};
	struct socket_info *socket = place_socket(place);
	union sockaddr_union to;
	if (socket)
		return socket;
	init_su(&to, (struct ip_addr *)&place->address, place->port);
	return get_send_socket(NULL, &to, protocols[place->transport]);
}

/* "192.0.2.1:5060" or "[2001:db8::1]:5060", as advertised: what stands after the protocol in the socket's name. */
static str address_of(const struct socket_info *socket)
{
	str text = socket->useinfo.sock_str.len ? socket->useinfo.sock_str : socket->sock_str;
	const char *colon = memchr(text.s, ':', (size_t)text.len);
	int skipped = colon ? (int)(colon + 1 - text.s) : 0;
	return (str){.s = text.s + skipped, .len = text.len - skipped};
}

static void shorten_wait(unsigned index, unsigned label, uint32_t limit_ms)
{
	struct cell *cell = NULL;
	if (site_state.tm.t_lookup_ident(&cell, index, label) < 0 || !cell)
		return;
	change_fr(cell, 0, MS_TO_TICKS((ticks_t)limit_ms));
	site_state.tm.unref_cell(cell);
	site_state.tm.t_sett(T_UNDEFINED, T_BR_UNDEFINED);
}

static int send_options(const struct place *place, void *ticket, uint32_t limit_ms)
{
	static str method = STR_STATIC_INIT("OPTIONS");
	char hop[PLACE_URI_MAX], target[MESSAGE_URI_MAX], self[MESSAGE_URI_MAX], headers[MESSAGE_URI_MAX + 64];
	struct socket_info *socket = socket_of(place);
	unsigned index = 0, label = 0;
	uac_req_t request;
	if (!socket)
		return -ENOTCONN;
	place_uri(place, hop);
	const char *transport = strrchr(hop, ';');
	bool is_ipv6 = place->host_is_address && place->address.af == AF_INET6;
	snprintf(target, sizeof(target), is_ipv6 ? "sip:[%s]:%u%s" : "sip:%s:%u%s", place->host, place->port,
		 transport);
	str own = address_of(socket);
	snprintf(self, sizeof(self), "sip:%.*s%s", STR_FMT(&own), transport);
	snprintf(headers, sizeof(headers), "Contact: <%s>\r\nAccept: application/sdp\r\n", self);
	str target_uri = str_of(target), self_uri = str_of(self), text = str_of(headers), hop_uri = str_of(hop);
	str call_id, tag;
	site_state.tm.generate_callid(&call_id);
	site_state.tm.generate_fromtag(&tag, &call_id, &target_uri);
	dlg_t dialog = {
		.id = {.call_id = call_id, .loc_tag = tag},
		.loc_seq = {.value = 1, .is_set = 1},
		.loc_uri = self_uri,
		.rem_uri = target_uri,
		.rem_target = target_uri,
		.dst_uri = hop_uri,
		.state = DLG_NEW,
		.send_sock = socket,
	};
	set_uac_req(&request, &method, &text, NULL, &dialog, ticket ? TMCB_LOCAL_COMPLETED : 0,
		    ticket ? on_answer : NULL, ticket);
	if (site_state.tm.t_uac_with_ids(&request, &index, &label) < 0)
		return -EIO;
	shorten_wait(index, label, limit_ms);
	return 0;
}

/* ------- the answer ------- */

struct answer {
	uint32_t probe;
	bool expected;
};

static void take_answer(struct observed *target, void *context)
{
	struct answer *answer = context;
	answer->expected = target->waiting && target->probe == answer->probe;
	if (answer->expected)
		target->waiting = false;
}

static const char *failure_of(int status, char text[OBSERVED_REASON_MAX])
{
	if (!health_status_fails(status))
		return NULL;
	snprintf(text, OBSERVED_REASON_MAX, "%d to OPTIONS", status);
	return text;
}

static void judge_probe(uint32_t peer, const char *failure)
{
	if (failure)
		site_count(probes_failed);
	observed_event(peer, failure ? HEALTH_PROBE_FAILED : HEALTH_PROBE_OK, failure ? failure : "");
}

static void on_answer(struct cell *cell, int type, struct tmcb_params *event)
{
	uintptr_t ticket = (uintptr_t)*event->param;
	uint32_t peer = (uint32_t)(ticket >> 32);
	struct observed known;
	char text[OBSERVED_REASON_MAX];
	struct answer answer = {.probe = (uint32_t)ticket};
	if (observed_get(peer, &known) || observed_change(peer, take_answer, &answer) || !answer.expected)
		return;
	judge_probe(peer, event->rpl == FAKED_REPLY ? "no answer to OPTIONS" : failure_of(event->code, text));
}

/* ------- what is due ------- */

struct round {
	const struct topology_settings *settings;
	const struct place *place;
	uint64_t now_ms;
	uint32_t index;
	bool late, send_probe, send_keepalive; /* out */
	uint32_t probe;                        /* out */
};

static uint32_t probe_interval(const struct round *round, const struct observed *target)
{
	uint32_t interval = round->settings->probe_interval_ms;
	if (target->health.state == HEALTH_PROBING && interval > HALF_OPEN_INTERVAL)
		return HALF_OPEN_INTERVAL;
	return interval;
}

static void start_target(struct round *round, struct observed *target)
{
	if (target->name[0])
		return;
	target->next_probe_ms = round->now_ms + round->index * (uint64_t)TICK_US / 1000 % START_SPREAD;
	target->next_keepalive_ms = target->next_probe_ms + round->settings->keepalive_interval_ms;
}

static void take_turn(struct observed *target, void *context)
{
	struct round *round = context;
	start_target(round, target);
	memcpy(target->name, round->place->name, sizeof(target->name));
	if (round->place->host_is_address) {
		target->has_address = true;
		target->address = round->place->address;
	}
	round->late = target->waiting && round->now_ms >= target->deadline_ms;
	if (round->late)
		target->waiting = false;
	if (round->place->admin == ADMIN_DISABLED) {
		target->waiting = false;
		round->late = false;
		return;
	}
	round->send_probe =
		round->settings->probe_interval_ms && !target->waiting && round->now_ms >= target->next_probe_ms;
	round->send_keepalive = round->settings->keepalive_interval_ms && target->has_address &&
				round->now_ms >= target->next_keepalive_ms;
	if (round->send_probe) {
		target->next_probe_ms = round->now_ms + probe_interval(round, target);
		target->deadline_ms = round->now_ms + round->settings->probe_timeout_ms;
		target->waiting = true;
		round->probe = ++target->probe;
	}
	if (round->send_keepalive)
		target->next_keepalive_ms = round->now_ms + round->settings->keepalive_interval_ms;
}

/* The answer may come before t_uac() is back, so the number was set before; here it is taken back. */
static void fail_probe(const struct round *round, const char *reason)
{
	struct answer answer = {.probe = round->probe};
	observed_change(round->place->peer, take_answer, &answer);
	if (answer.expected)
		judge_probe(round->place->peer, reason);
}

static void send_probe(const struct round *round)
{
	site_count(probes_sent);
	if (!round->place->has_address)
		fail_probe(round, "name has no address");
	else if (send_options(round->place, ticket_of(round->place->peer, round->probe),
			      round->settings->probe_timeout_ms))
		fail_probe(round, "OPTIONS could not be sent");
}

static void serve_peer(const struct place *place, const struct topology_settings *settings, uint32_t index)
{
	struct round round = {.settings = settings, .place = place, .now_ms = site_clock_ms(), .index = index};
	if (observed_change(place->peer, take_turn, &round))
		return;
	if (round.late)
		judge_probe(place->peer, "no answer to OPTIONS");
	if (round.send_probe)
		send_probe(&round);
	if (round.send_keepalive && send_options(place, NULL, settings->probe_timeout_ms) == 0)
		site_count(keepalives_sent);
}

static void serve_all(void)
{
	struct topology_view view;
	struct topology_settings settings;
	struct place place;
	if (topology_open(site_state.provisioning.region, &view) || topology_settings(&view, &settings))
		return;
	for (uint32_t i = 0; place_at(&view, i, &place) == 0; i++) {
		/* a new picture: the next turn reads it from the start */
		if (!topology_current(&view))
			return;
		serve_peer(&place, &settings, i);
	}
}

static bool is_configured(uint32_t peer, void *context)
{
	struct peer_view found;
	return topology_peer_by_id(context, peer, &found) == 0;
}

static void sweep(uint64_t now_ms)
{
	static uint64_t next_ms;
	struct topology_view view;
	if (now_ms < next_ms || topology_open(site_state.provisioning.region, &view))
		return;
	next_ms = now_ms + SWEEP_INTERVAL;
	observed_sweep(is_configured, &view);
}

static void prober_tick(unsigned ticks, void *context)
{
	static uint64_t next_expire_ms;
	uint64_t now_ms = site_clock_ms();
	serve_all();
	sweep(now_ms);
	if (now_ms < next_expire_ms)
		return;
	next_expire_ms = now_ms + 1000;
	late_branch_expire();
}

/* ------- names ------- */

struct look_up {
	uint64_t now_ms;
	bool due;
	struct ip_addr address;
	bool found;
};

static void check_due(struct observed *target, void *context)
{
	struct look_up *look_up = context;
	look_up->due = look_up->now_ms >= target->next_look_up_ms;
}

static void keep_address(struct observed *target, void *context)
{
	const struct look_up *look_up = context;
	target->next_look_up_ms = look_up->now_ms + (look_up->found ? LOOK_UP_INTERVAL : LOOK_UP_AGAIN);
	/* an address that was good stays when the name server is away */
	if (!look_up->found)
		return;
	if (!target->has_address)
		target->next_probe_ms = 0;
	target->has_address = true;
	target->address = look_up->address;
}

static void look_up_peer(const struct place *place)
{
	struct look_up look_up = {.now_ms = site_clock_ms()};
	str name = str_of(place->host);
	unsigned short port = place->port;
	char protocol = PROTO_NONE;
	if (place->host_is_address || place->admin == ADMIN_DISABLED)
		return;
	if (observed_change(place->peer, check_due, &look_up) || !look_up.due)
		return;
	/* a port given: A and AAAA only */
	struct hostent *host = sip_resolvehost(&name, &port, &protocol);
	look_up.found = host && host->h_addr_list[0];
	if (look_up.found)
		hostent2ip_addr(&look_up.address, host, 0);
	else
		LM_WARN("peer %s: no address found for %s\n", place->name, place->host);
	observed_change(place->peer, keep_address, &look_up);
}

static void resolver_tick(unsigned ticks, void *context)
{
	struct topology_view view;
	struct place place;
	if (topology_open(site_state.provisioning.region, &view))
		return;
	for (uint32_t i = 0; place_at(&view, i, &place) == 0 && topology_current(&view); i++)
		look_up_peer(&place);
}

/* ------- the processes ------- */

int prober_register(void)
{
	return register_basic_timers(2);
}

int prober_start(void)
{
	if (fork_basic_utimer(PROC_TIMER, "trunkgate prober", 1, prober_tick, NULL, TICK_US) < 0)
		return -1;
	return fork_basic_timer(PROC_TIMER, "trunkgate resolver", 1, resolver_tick, NULL, 1) < 0 ? -1 : 0;
}
