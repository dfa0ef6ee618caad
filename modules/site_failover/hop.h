/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The next hop of a request: where a message asks to go, and whether the topology lets it. */
#ifndef TRUNKGATE_SITE_FAILOVER_HOP_H
#define TRUNKGATE_SITE_FAILOVER_HOP_H

#include <core/parser/msg_parser.h>

#include "place.h"
#include "span.h"

/**
 * The place of the next hop of @p msg if that is an address among the source prefixes of a group: its address and port
 * with the group's transport and local socket; no peer. @p group "" = any, the one with the URI's transport first.
 * Returns 0, -ENOENT (a name, or nobody's address), or -EAGAIN if nothing is published yet.
 */
int hop_find(struct sip_msg *msg, struct span group, struct place *place);

/** The same for a URI. */
int hop_of_uri(str uri, struct span group, struct place *place);

/** Aims @p msg at an address: $du and the group's socket. Returns 0 or -ENOMEM. */
int hop_aim(struct sip_msg *msg, const struct place *place);

#endif
