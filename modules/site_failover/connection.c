/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Kamailio's TCP and TLS connections, looked at from outside. */
#include "connection.h"

#include <core/tcp_conn.h>

/* of core/tcp_main.c; no header has them */
extern gen_lock_t *tcpconn_lock;
extern struct tcp_conn_alias **tcpconn_aliases_hash;

static enum sip_protos protocol_of(enum transport transport)
{
	return transport == TRANSPORT_TLS ? PROTO_TLS : PROTO_TCP;
}

static bool leads_to(const struct tcp_conn_alias *alias, const struct place *place)
{
	const struct tcp_connection *found = alias->parent;
	return found->state != S_CONN_BAD && found->type == protocol_of(place->transport) &&
	       alias->port == place->port && ip_addr_cmp(&place->address, &found->rcv.src_ip);
}

int connection_find(const struct place *place, int known)
{
	struct ip_addr to = place->address, any;
	int id = 0;
	if (place->transport == TRANSPORT_UDP || !tcpconn_lock || !tcpconn_aliases_hash)
		return 0;
	ip_addr_mk_any(to.af, &any);
	unsigned bucket = tcp_addr_hash(&to, place->port, &any, 0);
	lock_get(tcpconn_lock);
	for (struct tcp_conn_alias *alias = tcpconn_aliases_hash[bucket]; alias; alias = alias->next)
		if (leads_to(alias, place) && (!id || alias->parent->id == known))
			id = alias->parent->id;
	lock_release(tcpconn_lock);
	return id;
}
