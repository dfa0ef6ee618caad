/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * `trunkgate sites`: what Kamailio sees of its peers, configured and observed.
 *
 * Calls and probes live in Kamailio, so it is asked and not the worker: site_failover.list by JSON-RPC over the
 * datagram socket of Kamailio's own module jsonrpcs. kamcmd shows the same, but its text is for people only.
 */
#ifndef TRUNKGATE_SITES_H
#define TRUNKGATE_SITES_H

#include <json-c/json.h>

#include "fault.h"

/**
 * Asks for all targets, or those of one @p group. Returns 0 with a new object {"node": {...}, "items": [...]} of the
 * rows as Kamailio gives them, or -errno with @p fault.
 */
int sites_ask(const char *socket, const char *group, struct json_object **sites, struct fault *fault);

/** The items as a table for people: a new array of objects, one a target. */
struct json_object *sites_table(struct json_object *sites);

/** One line about the node: "in service", or since when it is draining and what is left. */
void sites_node(struct json_object *sites, char *text, size_t size);

#endif
