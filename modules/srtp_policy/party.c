/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Call state and topology give the two ends of a message. */
#include "party.h"

#include <errno.h>

#include <stdio.h>

#include <core/dprint.h>
#include <core/parser/parse_cseq.h>
#include <core/parser/parse_from.h>
#include <core/parser/parse_to.h>
#include <core/route.h>
#include <core/ut.h>

#include "call_state.h"
#include "dialog_token.h"
#include "glue.h"
#include "state.h"
#include "topology.h"

/* a flag of tm's branch, which scripts must leave alone */
enum { BRANCH_ANSWER_REFUSED = 1 << 30 };

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

static struct names names_of(unsigned group, unsigned peer, enum call_secured bit)
{
	struct names names = {.peer = (uint32_t)call_state_int(peer, TOPOLOGY_NONE),
			      .bound = call_state_int(CALL_SECURED, 0) & bit};
	str text = call_state_str(group);

	copy_text(names.group, span_of_str(&text));
	return names;
}

struct request {
	struct names requester, answerer;
	bool by_caller;  /* the requester began the dialog */
	bool within;     /* of a reply: its request did not begin it, or is not known any more */
	unsigned invite; /* that began the dialog, see dialog_token.h */
	enum call_relayed relayed;
};

static bool is_by_caller(void)
{
	int side = call_state_int(CALL_SIDE, SIDE_OPERATOR);

	/* an answer to a transaction that is gone has neither: as if its INVITE had begun the dialog */
	return (side == SIDE_OPERATOR) == (call_state_int(CALL_DIRECTION, TO_SERVICE) == TO_SERVICE);
}

static void read_request(struct request *request)
{
	request->requester = names_of(CALL_GROUP, CALL_IN, CALL_SECURED_SENDER);
	request->answerer = names_of(CALL_OUT_GROUP, CALL_OUT, CALL_SECURED_RECEIVER);
	request->by_caller = is_by_caller();
	request->invite = (unsigned)call_state_int(CALL_INVITE, 0);
	request->relayed = (enum call_relayed)call_state_int(CALL_RELAYED, CALL_RELAYED_NOT);
}

static bool has_to_tag(const struct sip_msg *msg)
{
	return msg && msg->to && msg->to->parsed && get_to(msg)->tag_value.len > 0;
}

/* The transaction of a reply, or NULL. The reference is tm's own to give back, when it handles this reply. */
static struct cell *cell_of_reply(struct sip_msg *msg, int *branch)
{
	struct cell *cell = NULL;

	if (get_route_type() == CORE_ONREPLY_ROUTE && policy_state.tm.t_check(msg, branch) == 1)
		cell = policy_state.tm.t_gett();
	return cell == T_UNDEFINED ? NULL : cell;
}

/* In the core reply_route the XAVPs are not those of the transaction. */
static void find_request(struct sip_msg *msg, struct request *request)
{
	int branch = 0;
	struct cell *cell = cell_of_reply(msg, &branch);

	request->within = true;
	if (!cell) {
		read_request(request);
		return;
	}
	struct call_state_scope scope = call_state_enter(cell);
	request->within = has_to_tag(cell->uas.request);
	read_request(request);
	call_state_leave(scope);
}

/* A picture that was replaced meanwhile gives wrong names; the loop comes again. */
static int read_party(const struct topology_view *view, const struct names *names, struct party *party)
{
	static const uint8_t nowhere[16];
	struct group_view group;
	struct peer_view peer;

	*party = (struct party){.id = names->peer, .bound = names->bound ? UINT32_MAX : 0};
	if (topology_group_by_name(view, span_of(names->group), &group))
		return -ENOENT;
	copy_text(party->group, group.name);
	/* a call outlives its peer in the topology: then its media may be where that of any peer of the group may be */
	if (names->peer != TOPOLOGY_NONE && topology_peer_by_id(view, names->peer, &peer) == 0)
		copy_text(party->peer, peer.name);
	else
		party->id = TOPOLOGY_NONE;
	if (media_leg_read(group.media, group.srtp_suites, group.dtls_profiles, &party->leg))
		LM_ERR("group %s names SRTP suites or profiles that are not known\n", party->group);
	party->leg.limited = !topology_media_allowed(view, party->id, group.index, nowhere);
	return 0;
}

static str tag_of_caller(struct sip_msg *msg, const struct request *request)
{
	if (parse_headers(msg, HDR_EOH_F, 0) < 0 || parse_from_header(msg) < 0 || parse_to_header(msg) < 0)
		return (str)STR_NULL;
	return request->by_caller ? get_from(msg)->tag_value : get_to(msg)->tag_value;
}

/* What is the media's own among all of its Call-ID. */
static int find_media(struct sip_msg *msg, const struct request *request, char digest[MD5_LEN + 1])
{
	char invite[sizeof("\n4294967295")];
	str source[] = {tag_of_caller(msg, request), {.s = invite}};

	if (source[0].len <= 0)
		return -EINVAL;
	source[1].len = snprintf(invite, sizeof(invite), "\n%u", request->invite);
	MD5StringArray(digest, source, 2);
	digest[MD5_LEN] = '\0';
	return 0;
}

static int find_dialog(struct sip_msg *msg, char digest[MD5_LEN + 1], struct agreement_id *id)
{
	if (!msg->callid)
		return -EINVAL;
	str source[] = {msg->callid->body, str_init("\n"), str_of(digest)};
	MD5StringArray(id->digest, source, 3);
	id->digest[AGREEMENT_ID_LENGTH] = '\0';
	return 0;
}

static int find_ends(const struct request *request, bool reply, struct parties *parties)
{
	struct topology_view view;
	int result;

	do {
		if (topology_open(policy_state.provisioning.region, &view))
			return -ENOENT;
		result = read_party(&view, reply ? &request->answerer : &request->requester, &parties->sender);
		if (result == 0)
			result =
				read_party(&view, reply ? &request->requester : &request->answerer, &parties->receiver);
	} while (!topology_current(&view));
	return result;
}

static void meet(struct party *sender, struct party *receiver)
{
	static const char *const common[] = {[LEGS_NO_SUITE] = "SRTP suite",
					     [LEGS_NO_PROFILE] = "DTLS-SRTP profile",
					     [LEGS_NO_SUITE | LEGS_NO_PROFILE] = "SRTP suite and no DTLS-SRTP profile"};
	unsigned apart = media_legs_meet(&sender->leg, &receiver->leg);

	if (apart)
		LM_WARN("groups %s and %s have no %s in common: no call between them is secured by one\n",
			sender->group, receiver->group, common[apart]);
}

/* Of the message in hand: a process handles one after the other. */
static struct {
	bool known;
	unsigned id;
	struct parties parties;
} last;

int parties_find(struct sip_msg *msg, struct parties *parties)
{
	struct request request;
	bool reply = msg->first_line.type == SIP_REPLY;

	last.known = false;
	find_request(msg, &request);
	parties->from_caller = request.by_caller != reply;
	if (find_media(msg, &request, parties->media) || find_dialog(msg, parties->media, &parties->id) ||
	    find_ends(&request, reply, parties))
		return -ENOENT;
	parties->within = reply ? request.within : has_to_tag(msg);
	meet(&parties->sender, &parties->receiver);
	last.known = true;
	last.id = msg->id;
	last.parties = *parties;
	return 0;
}

int parties_again(struct sip_msg *msg, struct parties *parties)
{
	if (!last.known || last.id != msg->id)
		return parties_find(msg, parties);
	*parties = last.parties;
	return 0;
}

static void set_relayed(enum call_relayed by)
{
	if (!call_state_int(CALL_RELAYED, CALL_RELAYED_NOT))
		call_state_set_int(CALL_RELAYED, (int)by);
}

void media_begins(struct sip_msg *msg, bool by_caller)
{
	enum call_relayed by = by_caller ? CALL_RELAYED_CALLER : CALL_RELAYED_CALLEE;
	int branch = 0;
	struct cell *cell = cell_of_reply(msg, &branch);

	if (!cell) {
		set_relayed(by);
		return;
	}
	struct call_state_scope scope = call_state_enter(cell);
	set_relayed(by);
	call_state_leave(scope);
}

bool media_begun_by_caller(struct sip_msg *msg)
{
	struct request request;

	find_request(msg, &request);
	return request.relayed != CALL_RELAYED_CALLEE;
}

/* site_dialog() knows it of a BYE; of other requests within a dialog nobody does. */
bool media_may_be_relayed(struct sip_msg *msg)
{
	struct request request;

	find_request(msg, &request);
	if (request.relayed != CALL_RELAYED_NOT)
		return true;
	bool within = msg->first_line.type == SIP_REPLY ? request.within : has_to_tag(msg);
	return within && parse_headers(msg, HDR_CSEQ_F, 0) >= 0 && msg->cseq && get_cseq(msg)->method_id != METHOD_BYE;
}

/* ------- refused answers ------- */

void answer_mark_refused(struct sip_msg *msg)
{
	int branch = -1;
	struct cell *cell = cell_of_reply(msg, &branch);

	if (!cell || branch < 0)
		return;
	struct call_state_scope scope = call_state_enter(cell);
	cell->uac[branch].branch_flags |= BRANCH_ANSWER_REFUSED;
	call_state_leave(scope);
}

bool answer_was_refused(struct sip_msg *msg)
{
	int branch = -1;
	struct cell *cell = cell_of_reply(msg, &branch);

	return cell && branch >= 0 && cell->uac[branch].branch_flags & BRANCH_ANSWER_REFUSED;
}

/* ------- late replies ------- */

/* As tm will find it: it drops such a provisional, after the script. */
static bool is_late(const struct cell *cell, int branch, bool provisional)
{
	int last = cell->uac[branch].last_received, relayed = cell->relayed_reply_branch;
	bool over = cell->uas.status >= 200;

	if (provisional)
		return over || last >= 200;
	return last >= 300 || (over && relayed >= 0 && relayed != branch);
}

bool reply_is_late(struct sip_msg *msg)
{
	int branch = -1;
	struct cell *cell = cell_of_reply(msg, &branch);

	return cell && branch >= 0 && is_late(cell, branch, msg->REPLY_STATUS < 200);
}

/* ------- tags ------- */

static void write_tag(const char *digest, bool caller, char tag[MEDIA_TAG_LENGTH + 1])
{
	memcpy(tag, digest, MD5_LEN);
	strcpy(tag + MD5_LEN, caller ? "-caller" : "-callee");
}

int media_tag(struct sip_msg *msg, bool caller, char tag[MEDIA_TAG_LENGTH + 1])
{
	char digest[MD5_LEN + 1];
	struct request request;

	find_request(msg, &request);
	if (find_media(msg, &request, digest))
		return -EINVAL;
	write_tag(digest, caller, tag);
	return 0;
}

void party_tag(const struct parties *parties, bool caller, char tag[MEDIA_TAG_LENGTH + 1])
{
	write_tag(parties->media, caller, tag);
}

int media_dialog(struct sip_msg *msg, struct agreement_id *id)
{
	char digest[MD5_LEN + 1];
	struct request request;

	find_request(msg, &request);
	return find_media(msg, &request, digest) ? -EINVAL : find_dialog(msg, digest, id);
}

struct agreement_transaction media_transaction(struct sip_msg *msg, const struct parties *parties, bool answers)
{
	struct agreement_transaction transaction = {.by_caller = parties->from_caller !=
								 (msg->first_line.type == SIP_REPLY)};
	bool request = msg->first_line.type == SIP_REQUEST;

	if (!msg->cseq || !msg->cseq->parsed)
		return transaction;
	transaction.invite = get_cseq(msg)->method_id & (METHOD_INVITE | METHOD_ACK);
	/* the offer that a PRACK answers came in its INVITE's transaction */
	if (!request || !answers || get_cseq(msg)->method_id != METHOD_PRACK)
		str2int(&get_cseq(msg)->number, &transaction.number);
	return transaction;
}

struct srtp_policy party_policy(const struct party *party)
{
	struct srtp_policy policy = party->leg.policy;

	policy.kept = party->bound;
	return policy;
}

bool parties_may_choose(const struct parties *parties)
{
	return parties->sender.leg.policy.mode == SRTP_OPTIONAL || parties->receiver.leg.policy.mode == SRTP_OPTIONAL;
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
