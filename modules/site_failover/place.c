/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Where a peer is: topology and observed address in one copy. */
#include "place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <core/resolve.h>
#include <core/socket_info.h>

#include "glue.h"
#include "state.h"
#include "observed.h"

static const char *const transport_parameter[] = {
	[TRANSPORT_UDP] = "udp",
	[TRANSPORT_TCP] = "tcp",
	[TRANSPORT_TLS] = "tls",
};

static const uint16_t default_port[] = {
	[TRANSPORT_UDP] = 5060,
	[TRANSPORT_TCP] = 5060,
	[TRANSPORT_TLS] = 5061,
};

void place_copy_text(char *to, size_t size, struct span text)
{
	size_t length = text.len < size ? text.len : size - 1;
	if (length)
		memcpy(to, text.ptr, length);
	to[length] = '\0';
}

static bool parse_address(const char *host, struct ip_addr *address)
{
	str text = str_of(host);
	struct ip_addr *parsed = str2ip(&text);
	if (!parsed)
		parsed = str2ip6(&text);
	if (parsed)
		*address = *parsed;
	return parsed;
}

static void fill_address(struct place *place)
{
	struct observed target;
	place->host_is_address = place->has_address = parse_address(place->host, &place->address);
	if (place->has_address || observed_get(place->peer, &target) || !target.has_address)
		return;
	place->has_address = true;
	place->address = target.address;
}

int place_of_group(const struct group_view *group, struct place *place)
{
	if (group->transport < TRANSPORT_UDP || group->transport > TRANSPORT_TLS)
		return -ENOENT;
	*place = (struct place){
		.side = group->side,
		.transport = group->transport,
		.media = group->media,
		.port = default_port[group->transport],
	};
	place_copy_text(place->group, sizeof(place->group), group->name);
	place_copy_text(place->local_socket, sizeof(place->local_socket), group->local_socket);
	return 0;
}

void place_set_address(struct place *place, const struct ip_addr *address, uint16_t port)
{
	place->has_address = true;
	place->address = *address;
	place->port = port ? port : default_port[place->transport];
}

static int fill(const struct topology_view *view, const struct peer_view *peer, struct place *place)
{
	struct group_view group;
	int result = topology_group(view, peer->group, &group);
	if (result == 0)
		result = place_of_group(&group, place);
	if (result)
		return result;
	place->peer = peer->id;
	place->admin = peer->admin;
	if (peer->port)
		place->port = peer->port;
	place_copy_text(place->name, sizeof(place->name), peer->name);
	place_copy_text(place->site, sizeof(place->site), peer->site);
	place_copy_text(place->host, sizeof(place->host), peer->host);
	return 0;
}

int place_at(const struct topology_view *view, uint32_t index, struct place *place)
{
	struct peer_view peer;
	int result = topology_peer(view, index, &peer);
	if (result == 0)
		result = fill(view, &peer, place);
	if (result == 0)
		fill_address(place);
	return result;
}

int place_find(uint32_t peer, struct place *place)
{
	struct topology_view view;
	struct peer_view row;
	int result;
	do {
		result = topology_open(site_state.provisioning.region, &view);
		if (result)
			return result;
		result = topology_peer_by_id(&view, peer, &row);
		if (result == 0)
			result = fill(&view, &row, place);
	} while (!topology_current(&view));
	if (result == 0)
		fill_address(place);
	return result;
}

void place_uri(const struct place *place, char uri[PLACE_URI_MAX])
{
	char address[IP_ADDR_MAX_STRZ_SIZE]; /* an IPv6 one comes in brackets */
	ip_addr2sbufz((struct ip_addr *)&place->address, address, sizeof(address));
	snprintf(uri, PLACE_URI_MAX, "sip:%s:%u;transport=%s", address, place->port,
		 transport_parameter[place->transport]);
}

struct socket_info *place_socket(const struct place *place)
{
	str name = str_of(place->local_socket);
	return name.len ? lookup_local_socket(&name) : NULL;
}

void place_address_bytes(const struct ip_addr *address, uint8_t bytes[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	if (address->af == AF_INET6) {
		memcpy(bytes, address->u.addr, 16);
		return;
	}
	memcpy(bytes, mapped, sizeof(mapped));
	memcpy(bytes + sizeof(mapped), address->u.addr, 4);
}
