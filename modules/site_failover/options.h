/* SPDX-License-Identifier: GPL-2.0-or-later */
/** OPTIONS of our own: probes and keepalives. */
#ifndef TRUNKGATE_SITE_FAILOVER_OPTIONS_H
#define TRUNKGATE_SITE_FAILOVER_OPTIONS_H

#include <modules/tm/tm_load.h>

#include "place.h"

struct options {
	const char *host;         /**< for the Request-URI; "" = the address */
	struct span name;         /**< ours, for Contact and From; "" = the socket's address */
	uint32_t limit_ms;        /**< how long tm waits */
	transaction_cb *answered; /**< or NULL: the answer is nobody's */
	void *ticket;             /**< its parameter */
};

/** Returns 0, -ENOTCONN (no socket reaches this address) or -EIO. */
int options_send(const struct place *place, const struct options *options);

#endif
