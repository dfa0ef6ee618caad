/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The event routes. */
#include "event.h"

#include <stdio.h>
#include <string.h>

#include <core/action.h>
#include <core/dprint.h>
#include <core/fmsg.h>
#include <core/kemi.h>
#include <core/route.h>

#include "call_state.h"
#include "glue.h"
#include "state.h"

static const char *const names[] = {
	[EVENT_UP] = "site_failover:up",
	[EVENT_DOWN] = "site_failover:down",
	[EVENT_DRAINED] = "site_failover:drained",
};

/*
 * Kamailio's lexer knows no underscore before the colon: it reads site_failover:up as failover:up (core/cfg.lex,
 * EVENT_RT_NAME).
 */
static int find_route(const char *name)
{
	static const char *const prefixes[] = {"site_failover", "site-failover", "failover"};
	char text[32];
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		snprintf(text, sizeof(text), "%s%s", prefixes[i], strchr(name, ':'));
		int route = route_lookup(&event_rt, text);
		if (route >= 0 && event_rt.rlist[route])
			return route;
	}
	return -1;
}

/* What $site(...) shows in the route. */
static void set_state(const struct event *event)
{
	char address[PLACE_URI_MAX] = "";
	const struct place *place = event->place;
	call_state_set_str(CALL_REASON, str_of(event->reason));
	if (!place)
		return;
	if (place->has_address)
		place_uri(place, address);
	call_state_set_str(CALL_TARGET, str_of(address));
	call_state_set_int(CALL_OUT, (int)place->peer);
	call_state_set_str(CALL_OUT_GROUP, str_of(place->group));
}

static void run_script(const struct event *event, struct sip_msg *msg)
{
	sr_kemi_eng_t *engine = sr_kemi_eng_get();
	str function = str_of(site_state.parameters.event_callback), name = str_of(names[event->kind]);
	if (engine && sr_kemi_route(engine, msg, EVENT_ROUTE, &function, &name) < 0)
		LM_ERR("%s: the function %s failed\n", names[event->kind], site_state.parameters.event_callback);
}

void event_run(const struct event *event)
{
	bool scripted = site_state.parameters.event_callback && site_state.parameters.event_callback[0];
	int route = scripted ? -1 : find_route(names[event->kind]);
	struct run_act_ctx context;
	if ((!scripted && route < 0) || faked_msg_init() < 0)
		return;
	struct sip_msg *msg = faked_msg_next();
	int before = get_route_type();
	set_route_type(EVENT_ROUTE);
	xavp_reset_list();
	set_state(event);
	init_run_actions_ctx(&context);
	if (scripted)
		run_script(event, msg);
	else
		run_top_route(event_rt.rlist[route], msg, &context);
	xavp_reset_list();
	set_route_type(before);
}
