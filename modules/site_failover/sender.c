/* SPDX-License-Identifier: GPL-2.0-or-later */
/** site_identify(): the source of a message -> side, group and, if it is unique, peer. */
#include <errno.h>
#include <string.h>

#include <sodium.h>

#include <core/parser/parse_to.h>
#include <core/socket_info.h>

#include "call_state.h"
#include "dialog_token.h"
#include "glue.h"
#include "place.h"
#include "region.h"
#include "script.h"
#include "state.h"

/* So long after the start of Kamailio the first publication may still come: the worker takes about 0.1 s. */
enum { START_MS = 3000 };

static bool is_starting(void)
{
	static bool over;
	if (!over)
		over = region_published(site_state.provisioning.region) ||
		       site_clock_ms() - site_state.started_ms >= START_MS;
	return !over;
}

static const enum transport transport_of[] = {
	[PROTO_UDP] = TRANSPORT_UDP,
	[PROTO_TCP] = TRANSPORT_TCP,
	[PROTO_TLS] = TRANSPORT_TLS,
};

/* Has the peer this address? 2 with this port too. */
static int match_targets(const struct topology_view *view, const struct peer_view *peer, const uint8_t address[16],
			 uint16_t port)
{
	struct topology_target target;
	int best = 0;
	for (uint32_t i = 0; i < peer->target_count && best < 2; i++)
		if (topology_target(view, peer->first_target + i, &target) == 0 &&
		    memcmp(target.address, address, sizeof(target.address)) == 0)
			best = target.port == port ? 2 : 1;
	return best;
}

/* Several peers may share a prefix; the one that has this address, or address and port, is still known. */
static uint32_t peer_with_address(const struct topology_view *view, const struct group_view *group,
				  const uint8_t address[16], uint16_t port)
{
	struct peer_view peer;
	uint32_t only = TOPOLOGY_NONE, count = 0;
	for (uint32_t i = group->first_peer; i < group->first_peer + group->peer_count; i++) {
		int match = topology_peer(view, i, &peer) == 0 ? match_targets(view, &peer, address, port) : 0;
		if (match == 2)
			return peer.id;
		if (match == 0)
			continue;
		only = peer.id;
		count++;
	}
	return count == 1 ? only : TOPOLOGY_NONE;
}

static int look_up(const struct topology_view *view, const struct receive_info *from, struct sender_found *found)
{
	uint8_t address[16];
	struct sender sender;
	struct group_view group;
	if (from->proto <= 0 || (size_t)from->proto >= sizeof(transport_of) / sizeof(*transport_of) ||
	    !transport_of[(size_t)from->proto])
		return -EPROTOTYPE;
	place_address_bytes(&from->src_ip, address);
	int result = topology_identify(view, address, transport_of[(size_t)from->proto],
				       span_of_str(&from->bind_address->sock_str), &sender);
	if (result == 0)
		result = topology_group(view, sender.group, &group);
	if (result)
		return result;
	found->side = group.side;
	found->peer = sender.peer ? sender.peer : peer_with_address(view, &group, address, from->src_port);
	place_copy_text(found->group, sizeof(found->group), group.name);
	return 0;
}

static int identify(const struct receive_info *from, struct sender_found *found)
{
	struct topology_view view;
	int result;
	do {
		result = topology_open(site_state.provisioning.region, &view);
		if (result)
			return result;
		result = look_up(&view, from, found);
	} while (!topology_current(&view));
	return result;
}

static bool starts_dialog(struct sip_msg *msg)
{
	return msg->first_line.type == SIP_REQUEST && parse_headers(msg, HDR_TO_F, 0) == 0 && msg->to &&
	       get_to(msg)->tag_value.len == 0;
}

static void begin_dialog(enum side side)
{
	call_state_set_int(CALL_DIRECTION, side == SIDE_OPERATOR ? TO_SERVICE : TO_OPERATOR);
	if (!call_state_has(CALL_INVITE))
		call_state_set_int(CALL_INVITE, 1 + (int)randombytes_uniform(DIALOG_INVITE_MAX));
}

int sender_identify(struct sip_msg *msg)
{
	struct sender_found found = {};
	int result = identify(&msg->rcv, &found);
	if (result == -ENOENT && msg->first_line.type == SIP_REQUEST)
		result = dialog_route_sender(msg, &found);
	/* a dialog needs the topology alone, a new one the numbers too */
	if ((result == -EAGAIN || starts_dialog(msg)) && is_starting())
		return -4;
	if (result == -EAGAIN)
		return -3;
	if (result)
		return result == -EPROTOTYPE ? -2 : -1;
	if (call_state_set_int(CALL_SIDE, found.side) || call_state_set_str(CALL_GROUP, str_of(found.group)) ||
	    call_state_set_int(CALL_IN, (int)found.peer))
		return -1;
	if (starts_dialog(msg))
		begin_dialog(found.side);
	return 1;
}

int sender_find(struct sip_msg *msg, struct sender_found *found)
{
	*found = (struct sender_found){};
	return identify(&msg->rcv, found);
}
