/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Call state and topology give the two ends of a message. */
#include "party.h"

#include <errno.h>

#include <core/dprint.h>
#include <core/route.h>

#include "call_state.h"
#include "glue.h"
#include "state.h"
#include "topology.h"

struct names {
	char group[FIELD_NAME_MAX + 1];
	uint32_t peer;
	bool bound;
};

static void copy_text(char to[FIELD_NAME_MAX + 1], struct span text)
{
	size_t length = text.len <= FIELD_NAME_MAX ? text.len : 0;

	if (length)
		memcpy(to, text.ptr, length);
	to[length] = '\0';
}

static struct names names_of(const char *group, const char *peer, enum call_secured bit)
{
	struct names names = {.peer = (uint32_t)call_state_int(peer, TOPOLOGY_NONE),
			      .bound = call_state_int(CALL_SECURED, 0) & bit};
	str text = call_state_str(group);

	copy_text(names.group, span_of_str(&text));
	return names;
}

static void read_names(struct names *from, struct names *to)
{
	*from = names_of(CALL_GROUP, CALL_IN, CALL_SECURED_SENDER);
	*to = names_of(CALL_OUT_GROUP, CALL_OUT, CALL_SECURED_RECEIVER);
}

/* In the core reply_route the XAVPs are not those of the transaction. */
static void find_names(struct sip_msg *msg, struct names *requester, struct names *answerer)
{
	int branch = 0;
	struct cell *cell = NULL;

	/* the reference is tm's own to give back, when it handles this reply */
	if (get_route_type() == CORE_ONREPLY_ROUTE && policy_state.tm.t_check(msg, &branch) == 1)
		cell = policy_state.tm.t_gett();
	if (!cell || cell == T_UNDEFINED) {
		read_names(requester, answerer);
		return;
	}
	struct call_state_scope scope = call_state_enter(cell);
	read_names(requester, answerer);
	call_state_leave(scope);
}

/* A picture that was replaced meanwhile gives wrong names; the loop comes again. */
static int read_party(const struct topology_view *view, const struct names *names, struct party *party)
{
	static const uint8_t nowhere[16];
	struct group_view group;
	struct peer_view peer;

	*party = (struct party){.id = names->peer, .bound = names->bound};
	if (topology_group_by_name(view, span_of(names->group), &group))
		return -ENOENT;
	copy_text(party->group, group.name);
	if (names->peer != TOPOLOGY_NONE && topology_peer_by_id(view, names->peer, &peer) == 0)
		copy_text(party->peer, peer.name);
	if (media_leg_read(group.media, group.srtp_suites, group.dtls_profiles, &party->leg))
		LM_ERR("group %s names SRTP suites or profiles that are not known\n", party->group);
	party->leg.limited = !topology_media_allowed(view, names->peer, group.index, nowhere);
	return 0;
}

int parties_find(struct sip_msg *msg, struct parties *parties)
{
	struct topology_view view;
	struct names requester, answerer;
	bool reply = msg->first_line.type == SIP_REPLY;
	int result;

	find_names(msg, &requester, &answerer);
	do {
		if (topology_open(policy_state.provisioning.region, &view))
			return -ENOENT;
		result = read_party(&view, reply ? &answerer : &requester, &parties->sender);
		if (result == 0)
			result = read_party(&view, reply ? &requester : &answerer, &parties->receiver);
	} while (!topology_current(&view));
	return result;
}

struct srtp_policy party_policy(const struct party *party)
{
	struct srtp_policy policy = party->leg.policy;

	if (party->bound && policy.mode == SRTP_OPTIONAL)
		policy.mode = SRTP_REQUIRED;
	return policy;
}

bool party_may_send_from(const struct party *party, const uint8_t address[16])
{
	struct topology_view view;
	struct group_view group;
	bool allowed;

	do {
		if (topology_open(policy_state.provisioning.region, &view))
			return false;
		allowed = topology_group_by_name(&view, span_of(party->group), &group) == 0 &&
			  topology_media_allowed(&view, party->id, group.index, address);
	} while (!topology_current(&view));
	return allowed;
}
