/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The way to the callee, as his response tells it: what a request within the dialog from our place must carry. */
#ifndef TRUNKGATE_SITE_FAILOVER_ROUTE_SET_H
#define TRUNKGATE_SITE_FAILOVER_ROUTE_SET_H

#include <stdint.h>

#include <core/parser/msg_parser.h>

enum { ROUTES_MAX = 16 };

struct route_set {
	str routes[ROUTES_MAX]; /* whole values, nearest to us first */
	size_t count;
	str next; /* URI of the first, or empty */
};

/**
 * The Record-Routes beyond ours of a parsed response: beyond the one whose INVITE has this number, as a call that
 * passes twice has two of ours; without such a one (or 0), beyond the first with our address. Returns 0, -EINVAL or
 * -E2BIG.
 */
int route_set_read(struct sip_msg *msg, uint32_t invite, struct route_set *set);

/** The URI of the first Contact. Returns 0 or -EINVAL. */
int route_set_contact(struct sip_msg *msg, str *uri);

#endif
