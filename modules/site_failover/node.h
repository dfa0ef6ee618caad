/* SPDX-License-Identifier: GPL-2.0-or-later */
/** This node. */
#ifndef TRUNKGATE_SITE_FAILOVER_NODE_H
#define TRUNKGATE_SITE_FAILOVER_NODE_H

#include <stdbool.h>

#include "topology.h"

int node_init(void);
void node_finish(void);

/** It is draining and its grace time is over: it takes no new calls. */
bool node_is_closed(const struct topology_settings *settings);

#endif
