/* SPDX-License-Identifier: GPL-2.0-or-later */
/** event_route[site_failover:up], :down and :drained, or one function of a KEMI script. */
#ifndef TRUNKGATE_SITE_FAILOVER_EVENT_H
#define TRUNKGATE_SITE_FAILOVER_EVENT_H

#include "place.h"

enum event_kind { EVENT_UP, EVENT_DOWN, EVENT_DRAINED };

struct event {
	enum event_kind kind;
	const struct place *place; /**< NULL: the node itself */
	const char *reason;
};

/** Runs the event's route, if there is one. In the prober only: no SIP worker waits for it. */
void event_run(const struct event *event);

#endif
