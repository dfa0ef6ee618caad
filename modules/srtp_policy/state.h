/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What the files of this module share. */
#ifndef TRUNKGATE_SRTP_POLICY_STATE_H
#define TRUNKGATE_SRTP_POLICY_STATE_H

#include <core/counters.h>
#include <modules/sl/sl.h>
#include <modules/tm/tm_load.h>

#include "media_leg.h"
#include "provisioning_api.h"
#include "sdp.h"
#include "site_failover_api.h"

struct policy_counters {
	stat_var *checked, *refused[SDP_REASONS], *foreign_address, *no_relay, *answers_refused, *restored,
		*not_restored, *recalled;
};

struct policy_state {
	enum sdes_words words;
	int retry_after;
	int sdp_memory; /* KB */
	struct provisioning_api provisioning;
	struct site_failover_api site;
	struct tm_binds tm;
	sl_api_t sl;
	struct policy_counters counters;
};

extern struct policy_state policy_state;

#define policy_count(name) update_stat(policy_state.counters.name, 1)

#endif
