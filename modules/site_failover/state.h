/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What the parts of site_failover share: parameters, the APIs of other modules, counters. */
#ifndef TRUNKGATE_SITE_FAILOVER_STATE_H
#define TRUNKGATE_SITE_FAILOVER_STATE_H

#include <stdbool.h>

#include <core/counters.h>
#include <modules/rr/api.h>
#include <modules/tm/tm_load.h>

#include "provisioning_api.h"
#include "topology.h"

struct site_parameters {
	int ringing_limit; /* ms: final answer after a provisional above 100 */
	int late_limit;    /* s: an abandoned branch is remembered that long after its transaction */
	int late_max;      /* entries */
	int targets_max;
	int calls_max, audit_interval; /* s */
	int unasked_limit;             /* s: a call that nobody is asked for counts so long; 0: for ever */
	int statistics_max;            /* targets that have counters */
	char *late_answer;             /* "end" or "take" */
	bool take_late;
	char *event_callback; /* function of a KEMI script; NULL: event routes */
	int retry_interval;   /* ms: a down target that only calls can test gets one */
};

struct site_counters {
	stat_var *calls_failed_over, *calls_without_peer, *late_answers, *late_byes, *probes_sent, *probes_failed,
		*keepalives_sent, *calls_full, *calls_emergency, *calls_audited, *calls_lost, *late_taken;
};

struct site_state {
	struct site_parameters parameters;
	struct provisioning_api provisioning;
	struct tm_binds tm;
	struct rr_binds rr;
	cmd_function drop_replies;
	uint64_t started_ms;
	struct site_counters counters;
};

extern struct site_state site_state;

#define site_count(name) update_stat(site_state.counters.name, 1)

/** The settings in force; custom_header is not copied: empty. Returns 0, or -EAGAIN if nothing is published yet. */
int site_settings(struct topology_settings *settings);

/** Milliseconds of a clock that never jumps. */
uint64_t site_clock_ms(void);
uint64_t site_clock_us(void);

#endif
