/* SPDX-License-Identifier: GPL-2.0-or-later */
/** site_known_hop(), and the next hop of a request against the topology. */
#include "hop.h"

#include <errno.h>
#include <string.h>

#include <core/dprint.h>
#include <core/dset.h>
#include <core/parser/parse_uri.h>
#include <core/resolve.h>

#include "glue.h"
#include "script.h"
#include "state.h"

struct hop {
	struct ip_addr address;
	uint16_t port; /* 0: not given */
	enum transport transport;
};

static enum transport transport_of(const struct sip_uri *uri)
{
	if (uri->type == SIPS_URI_T || uri->proto == PROTO_TLS)
		return TRANSPORT_TLS;
	return uri->proto == PROTO_TCP ? TRANSPORT_TCP : TRANSPORT_UDP;
}

static int hop_read(str next, struct hop *hop)
{
	struct sip_uri uri;
	if (parse_uri(next.s, next.len, &uri) || (uri.type != SIP_URI_T && uri.type != SIPS_URI_T))
		return -ENOENT;
	str *host = uri.maddr_val.len ? &uri.maddr_val : &uri.host;
	struct ip_addr *address = str2ip(host);
	if (!address)
		address = str2ip6(host);
	if (!address)
		return -ENOENT;
	*hop = (struct hop){.address = *address, .port = uri.port_no, .transport = transport_of(&uri)};
	return 0;
}

static bool is_target(const struct topology_view *view, const struct group_view *group, const uint8_t address[16])
{
	struct peer_view peer;
	struct topology_target target;
	for (uint32_t i = 0; i < group->peer_count; i++)
		for (uint32_t k = 0; topology_peer(view, group->first_peer + i, &peer) == 0 && k < peer.target_count;
		     k++)
			if (topology_target(view, peer.first_target + k, &target) == 0 &&
			    memcmp(target.address, address, sizeof(target.address)) == 0)
				return true;
	return false;
}

/* Asked as if the address had sent over the group's own transport and socket; a target need not send. */
static bool is_of_group(const struct topology_view *view, const struct group_view *group, const struct hop *hop)
{
	uint8_t address[16];
	struct sender sender;
	place_address_bytes(&hop->address, address);
	if (topology_identify(view, address, group->transport, group->local_socket, &sender) == 0 &&
	    sender.group == group->index)
		return true;
	return is_target(view, group, address);
}

static int search(const struct topology_view *view, const struct hop *hop, struct span name, struct place *place)
{
	struct group_view group;
	int result = -ENOENT;
	for (uint32_t i = 0; i < topology_group_count(view); i++) {
		if (topology_group(view, i, &group) || (name.len && !span_equal(group.name, name)) ||
		    !is_of_group(view, &group, hop))
			continue;
		result = place_of_group(&group, place);
		if (result == 0 && group.transport == hop->transport)
			break;
	}
	return result;
}

int hop_of_uri(str uri, struct span group, struct place *place)
{
	struct topology_view view;
	struct hop hop;
	int result = hop_read(uri, &hop);
	if (result)
		return result;
	do {
		result = topology_open(site_state.provisioning.region, &view);
		if (result)
			return result;
		result = search(&view, &hop, group, place);
	} while (!topology_current(&view));
	if (result == 0)
		place_set_address(place, &hop.address, hop.port);
	return result;
}

int hop_find(struct sip_msg *msg, struct span group, struct place *place)
{
	return hop_of_uri(*GET_NEXT_HOP(msg), group, place);
}

int hop_aim(struct sip_msg *msg, const struct place *place)
{
	char uri[PLACE_URI_MAX];
	struct socket_info *socket = place_socket(place);
	place_uri(place, uri);
	str destination = str_of(uri);
	if (set_dst_uri(msg, &destination))
		return -ENOMEM;
	ruri_mark_new();
	if (socket)
		set_force_socket(msg, socket);
	else if (place->local_socket[0])
		LM_ERR("Kamailio does not listen on %s, the local socket of group %s\n", place->local_socket,
		       place->group);
	return 0;
}

int hop_known(struct sip_msg *msg)
{
	struct place place;
	return hop_find(msg, (struct span){}, &place) || hop_aim(msg, &place) ? -1 : 1;
}
