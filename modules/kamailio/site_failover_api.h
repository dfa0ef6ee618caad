/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What the Kamailio module `site_failover` gives to the other modules. Bind in mod_init; it must be loaded before. */
#ifndef TRUNKGATE_SITE_FAILOVER_API_H
#define TRUNKGATE_SITE_FAILOVER_API_H

#include <core/parser/msg_parser.h>
#include <core/sr_module.h>

struct site_failover_api {
	/**
	 * Core reply_route: site_refuse_answer() with whole header lines (each ends in CRLF) for the refusal. 1: drop
	 * the response, the call is over; 2: drop it, the dialog goes on; -1: it is no 2xx of a live transaction that
	 * can still be refused.
	 */
	int (*refuse_answer)(struct sip_msg *msg, int code, str *reason, str *headers);
	/**
	 * The INVITE of this message has failed, or its dialog ended: true, unless another dialog that the same INVITE
	 * began goes on, with the same media.
	 */
	bool (*media_over)(struct sip_msg *msg);
};

typedef int (*site_failover_bind_function)(struct site_failover_api *api);

/** Returns 0 or -1 (logged). */
static inline int site_failover_bind(struct site_failover_api *api)
{
	site_failover_bind_function bind = (site_failover_bind_function)find_export("bind_site_failover", NO_SCRIPT, 0);
	if (!bind || bind(api) < 0) {
		LM_ERR("load the module site_failover before this one\n");
		return -1;
	}
	return 0;
}

#endif
