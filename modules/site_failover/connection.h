/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Kamailio's TCP and TLS connections, looked at from outside. */
#ifndef TRUNKGATE_SITE_FAILOVER_CONNECTION_H
#define TRUNKGATE_SITE_FAILOVER_CONNECTION_H

#include "place.h"

/**
 * The id of the connection that a message to this place would take, or 0 if one had to be opened. Kamailio tells nobody
 * when a connection ends before it was established (core/tcp_main.c, handle_tcpconn_ev), so the prober looks. Two
 * workers may open one each at the same time: while @p known is among them it is the answer.
 */
int connection_find(const struct place *place, int known);

#endif
