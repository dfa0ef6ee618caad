/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Where a peer is: topology and the address of a target in one copy. */
#include "place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <core/forward.h>
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

void place_copy_text(char *to, size_t size, struct span text)
{
	size_t length = text.len < size ? text.len : size - 1;
	if (length)
		memcpy(to, text.ptr, length);
	to[length] = '\0';
}

int place_of_group(const struct group_view *group, struct place *place)
{
	if (group->transport < TRANSPORT_UDP || group->transport > TRANSPORT_TLS)
		return -ENOENT;
	*place = (struct place){
		.side = group->side,
		.transport = group->transport,
		.media = group->media,
		.port = transport_port(group->transport),
	};
	place_copy_text(place->group, sizeof(place->group), group->name);
	place_copy_text(place->local_socket, sizeof(place->local_socket), group->local_socket);
	return 0;
}

void place_set_address(struct place *place, const struct ip_addr *address, uint16_t port)
{
	place->has_address = true;
	place->address = *address;
	place->port = port ? port : transport_port(place->transport);
}

void place_set_target(struct place *place, const struct topology_target *target)
{
	struct observed *observed = observed_of(place->peer, target);
	place_address_of_bytes(target->address, &place->address);
	place->has_address = true;
	place->port = target->port;
	place->target = observed ? observed->slot.number : 0;
}

int place_of_peer(const struct topology_view *view, const struct peer_view *peer, struct place *place)
{
	struct group_view group;
	int result = topology_group(view, peer->group, &group);
	if (result == 0)
		result = place_of_group(&group, place);
	if (result)
		return result;
	place->peer = peer->id;
	place->admin = peer->admin;
	place->capacity = peer->capacity;
	place->calls_per_second = peer->calls_per_second;
	if (peer->port)
		place->port = peer->port;
	place_copy_text(place->name, sizeof(place->name), peer->name);
	place_copy_text(place->site, sizeof(place->site), peer->site);
	place_copy_text(place->host, sizeof(place->host), peer->host);
	return 0;
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
			result = place_of_peer(&view, &row, place);
	} while (!topology_current(&view));
	return result;
}

void place_name_of(uint32_t peer, char name[FIELD_NAME_MAX + 1])
{
	struct place place;
	if (place_find(peer, &place) == 0)
		memcpy(name, place.name, sizeof(place.name));
}

/* ------- one target of a peer ------- */

static int target_with_key(const struct topology_view *view, const struct peer_view *peer, const struct slot_key *key,
			   struct topology_target *target)
{
	for (uint32_t i = 0; i < peer->target_count; i++)
		if (topology_target(view, peer->first_target + i, target) == 0 && target->port == key->port &&
		    memcmp(target->address, key->address, sizeof(key->address)) == 0)
			return 0;
	return -ENOENT;
}

int place_of_target(uint32_t number, struct place *place)
{
	struct topology_view view;
	struct peer_view row;
	struct topology_target target = {};
	const struct observed *observed = observed_at(number);
	int result;
	if (!observed)
		return -ENOENT;
	struct slot_key key = observed->slot.key;
	do {
		result = topology_open(site_state.provisioning.region, &view);
		if (result)
			return result;
		result = topology_peer_by_id(&view, key.peer, &row);
		if (result == 0)
			result = target_with_key(&view, &row, &key, &target);
		if (result == 0)
			result = place_of_peer(&view, &row, place);
	} while (!topology_current(&view));
	if (result == 0)
		place_set_target(place, &target);
	return result;
}

/* The first of the best rank: targets stand in the order of DNS. */
static int best_target(const struct topology_view *view, const struct peer_view *peer,
		       const struct topology_settings *settings, struct topology_target *best)
{
	struct topology_target target;
	int result = -EHOSTUNREACH;
	enum health_rank best_rank = HEALTH_RANK_DEAD;
	for (uint32_t i = 0; i < peer->target_count; i++) {
		if (topology_target(view, peer->first_target + i, &target))
			continue;
		struct observed *observed = observed_of(peer->id, &target);
		enum health_rank rank = observed ? observed_admit(observed, settings) : HEALTH_RANK_USABLE;
		if (result == 0 && rank >= best_rank)
			continue;
		*best = target;
		best_rank = rank;
		result = 0;
	}
	return result;
}

int place_aim(struct place *place)
{
	struct topology_view view;
	struct peer_view row;
	struct topology_settings settings;
	struct topology_target best = {};
	int result;
	do {
		result = topology_open(site_state.provisioning.region, &view);
		if (result == 0)
			result = topology_settings(&view, &settings);
		if (result)
			return result;
		result = topology_peer_by_id(&view, place->peer, &row);
		if (result == 0)
			result = best_target(&view, &row, &settings, &best);
	} while (!topology_current(&view));
	if (result == 0)
		place_set_target(place, &best);
	return result;
}

/* ------- how it is written ------- */

void place_uri(const struct place *place, char uri[PLACE_URI_MAX])
{
	char address[IP_ADDR_MAX_STRZ_SIZE]; /* an IPv6 one comes in brackets */
	ip_addr2sbufz((struct ip_addr *)&place->address, address, sizeof(address));
	/* not snprintf(): every request of a dialog comes by here */
	char *end = stpcpy(stpcpy(stpcpy(stpcpy(uri, "sip:"), address), ":"), int2str(place->port, NULL));
	stpcpy(stpcpy(end, ";transport="), transport_parameter[place->transport]);
}

struct socket_info *place_socket(const struct place *place)
{
	str name = str_of(place->local_socket);
	return name.len ? lookup_local_socket(&name) : NULL;
}

struct socket_info *place_send_socket(const struct place *place)
{
	static const int protocols[] = {
		[TRANSPORT_UDP] = PROTO_UDP,
		[TRANSPORT_TCP] = PROTO_TCP,
		[TRANSPORT_TLS] = PROTO_TLS,
	};
	struct socket_info *socket = place_socket(place);
	union sockaddr_union to;
	if (socket)
		return socket;
	init_su(&to, (struct ip_addr *)&place->address, place->port);
	return get_send_socket(NULL, &to, protocols[place->transport]);
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

void place_address_of_bytes(const uint8_t bytes[16], struct ip_addr *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool is_ipv4 = memcmp(bytes, mapped, sizeof(mapped)) == 0;
	*address = (struct ip_addr){.af = is_ipv4 ? AF_INET : AF_INET6, .len = is_ipv4 ? 4 : 16};
	memcpy(address->u.addr, is_ipv4 ? bytes + sizeof(mapped) : bytes, address->len);
}

void place_write_address(const struct slot_key *key, char text[PLACE_ADDRESS_MAX])
{
	char address[IP_ADDR_MAX_STRZ_SIZE];
	struct ip_addr ip;
	place_address_of_bytes(key->address, &ip);
	ip_addr2sbufz(&ip, address, sizeof(address));
	snprintf(text, PLACE_ADDRESS_MAX, "%s:%u", address, key->port);
}
