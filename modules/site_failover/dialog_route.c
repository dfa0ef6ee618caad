/* SPDX-License-Identifier: GPL-2.0-or-later */
/** site_record_route(), site_dialog(), site_answer_dialog(): the state of a dialog in the tg parameter of our
 * Record-Route. */
#include <errno.h>
#include <stdio.h>

#include <core/dprint.h>
#include <core/parser/parse_rr.h>

#include "call_state.h"
#include "calls.h"
#include "dialog_message.h"
#include "glue.h"
#include "hop.h"
#include "place.h"
#include "script.h"
#include "state.h"

static str parameter = STR_STATIC_INIT("tg");

/* ------- site_record_route ------- */

/*
 * Several peers may share the caller's source prefix (the front ends of a cloud service do). Then the token names one
 * of the group that is in service, so that a later request towards the caller needs no name looked up. The call counts
 * at none of them.
 */
static uint32_t peer_of_caller(void)
{
	int peer = call_state_int(CALL_IN, TOPOLOGY_NONE);
	str group = call_state_str(CALL_GROUP);
	return peer == TOPOLOGY_NONE ? choice_first(&group) : (uint32_t)peer;
}

static uint8_t policy_of_call(void)
{
	uint8_t policy = 0;
	if (call_state_int(CALL_SECURED, 0) & CALL_SECURED_SENDER)
		policy |= DIALOG_INGRESS_SECURED;
	if (call_state_int(CALL_IN, TOPOLOGY_NONE) == TOPOLOGY_NONE)
		policy |= DIALOG_INGRESS_SHARED;
	if (call_state_int(CALL_RELAYED, CALL_RELAYED_NOT) != CALL_RELAYED_CALLER)
		policy |= DIALOG_LATE_OFFER;
	return policy;
}

int dialog_route_record(struct sip_msg *msg)
{
	struct topology_settings settings;
	struct dialog_id id;
	char token[DIALOG_TOKEN_LENGTH + 1], text[DIALOG_TOKEN_LENGTH + sizeof(";tg=")];
	struct dialog dialog = {
		.direction = (enum direction)call_state_int(CALL_DIRECTION, TO_SERVICE),
		.ingress = peer_of_caller(),
		.egress = (uint32_t)call_state_int(CALL_OUT, TOPOLOGY_NONE),
		.attribute_set = (uint32_t)call_state_int(CALL_ATTRIBUTES, 0),
		.policy = policy_of_call(),
		.invite = (uint32_t)call_state_int(CALL_INVITE, 0),
	};
	if (msg->msg_flags & FL_RR_ADDED) {
		LM_ERR("Record-Route was added already\n");
		return -1;
	}
	if (site_settings(&settings) || dialog_message_id(msg, &id))
		return -1;
	dialog_token_write(&dialog, &id, settings.dialog_key, token);
	snprintf(text, sizeof(text), ";tg=%s", token);
	str parameters = str_of(text);
	if (site_state.rr.record_route(msg, &parameters) < 0)
		return -1;
	/* in branch_route the header is the branch's own */
	if (get_route_type() != BRANCH_ROUTE)
		msg->msg_flags |= FL_RR_ADDED;
	return 1;
}

/* ------- site_dialog ------- */

struct ends {
	struct place ingress, egress;
};

/* Fails if the topology has lost one of the two. */
static int ends_find(const struct dialog *dialog, struct ends *ends)
{
	int result = place_find(dialog->ingress, &ends->ingress);
	return result ? result : place_find(dialog->egress, &ends->egress);
}

static bool is_of_group(str *name, const struct place *place)
{
	return span_equal(span_of_str(name), span_of(place->group));
}

/*
 * The target that the other side named, if it is an address of the receiver's group; else where the topology says that
 * the peer is. So a peer leads no request out of the group, nor to another transport, and no name is looked up.
 */
static int aim_at(struct sip_msg *msg, const struct place *receiver, struct place *hop)
{
	if (hop_find(msg, span_of(receiver->group), hop) == 0)
		return hop_aim(msg, hop);
	*hop = *receiver;
	/* a peer that is gone has no target, only the place where the call found it */
	int result = receiver->has_address ? 0 : place_aim(hop);
	return result ? result : hop_aim(msg, hop);
}

/* Whose the dialog is: both ends, and which of them sent this request. */
struct way {
	bool forward;
	uint32_t from, to; /* peers */
	struct place receiver;
};

/* By the groups; by the tag, where both ends are of one group. */
static int way_by_topology(const struct dialog *dialog, const struct ends *ends, struct way *way)
{
	str group = call_state_str(CALL_GROUP);
	bool may_be_caller = is_of_group(&group, &ends->ingress), may_be_callee = is_of_group(&group, &ends->egress);
	if (!may_be_caller && !may_be_callee)
		return -EPERM;
	way->forward = may_be_caller && (!may_be_callee || dialog->caller & CALLER_IN_FROM);
	way->receiver = way->forward ? ends->egress : ends->ingress;
	return 0;
}

/*
 * By the topology; if that has lost one of the two peers, by the live call itself: it goes on, and above all it is
 * acknowledged and ended. Whoever sent it, it has the tag that the call began with in its place.
 */
static int way_find(struct sip_msg *msg, const struct dialog *dialog, struct way *way)
{
	struct ends ends;
	int result = ends_find(dialog, &ends) == 0 ? way_by_topology(dialog, &ends, way)
						   : calls_find(dialog, msg, &way->forward, &way->receiver);
	if (result)
		return result;
	if (!(dialog->caller & (way->forward ? CALLER_IN_FROM : CALLER_IN_TO)))
		return -EPERM;
	way->from = way->forward ? dialog->ingress : dialog->egress;
	way->to = way->forward ? dialog->egress : dialog->ingress;
	return 0;
}

static void end_call(const struct dialog *dialog, struct sip_msg *bye)
{
	enum call_relayed relayed;
	call_state_set_int(CALL_OVER, (int)calls_end(dialog, bye, &relayed));
	call_state_set_int(CALL_RELAYED, (int)relayed);
}

static int take_over(struct sip_msg *msg, const struct dialog *dialog)
{
	struct way way;
	struct place hop;
	int result = way_find(msg, dialog, &way);
	if (result == -EPERM)
		return result;
	call_state_set_int(CALL_DIRECTION, dialog->direction);
	call_state_set_int(CALL_INVITE, (int)dialog->invite);
	/* whatever becomes of the BYE, its call is over */
	if (msg->REQ_METHOD == METHOD_BYE)
		end_call(dialog, msg);
	if (result == 0)
		result = aim_at(msg, &way.receiver, &hop);
	if (result)
		return result;
	if (msg->REQ_METHOD & (METHOD_INVITE | METHOD_UPDATE))
		calls_learn(dialog, msg, way.forward, &hop);
	call_state_set_int(CALL_ATTRIBUTES, (int)dialog->attribute_set);
	if (dialog->policy & DIALOG_INGRESS_SECURED)
		call_state_set_int(CALL_SECURED, way.forward ? CALL_SECURED_SENDER : CALL_SECURED_RECEIVER);
	call_state_set_int(CALL_IN, (int)way.from);
	call_state_set_int(CALL_OUT, (int)way.to);
	return call_state_set_str(CALL_OUT_GROUP, str_of(way.receiver.group));
}

int dialog_route_follow(struct sip_msg *msg)
{
	struct topology_settings settings;
	struct dialog_id id;
	struct dialog dialog;
	str token;
	if (site_settings(&settings))
		return -3;
	if (site_state.rr.get_route_param(msg, &parameter, &token) < 0 || dialog_message_id(msg, &id) ||
	    dialog_token_read(span_of_str(&token), &id, settings.dialog_key, &dialog))
		return -1;
	dialog.invite = calls_invite(&dialog, msg);
	return take_over(msg, &dialog) ? -1 : 1;
}

/* ------- the token in a response ------- */

/* The one whose INVITE is @p wanted, else the first of its direction, the nearest to the callee. */
static bool choose(rr_t *route, const struct dialog_id *id, const uint8_t *key, const struct dialog *wanted,
		   struct dialog *dialog, int *result)
{
	struct span token;
	struct dialog read;
	if (dialog_message_token(route, &token) || dialog_token_read(token, id, key, &read) ||
	    (wanted && read.direction != wanted->direction))
		return false;
	bool same = !wanted || read.invite == wanted->invite;
	if (same || *result)
		*dialog = read;
	*result = 0;
	return same;
}

/* The first token of this dialog among the Routes or Record-Routes. 0 or -errno. */
static int read_routes(struct sip_msg *msg, struct hdr_field *const *first, const struct dialog *wanted,
		       struct dialog *dialog)
{
	struct topology_settings settings;
	struct dialog_id id;
	int result = -ENOENT;
	if (site_settings(&settings) || dialog_message_id(msg, &id))
		return -EAGAIN;
	for (struct hdr_field *header = *first; header; header = next_sibling_hdr(header)) {
		if (parse_rr(header))
			return -EINVAL;
		for (rr_t *route = header->parsed; route; route = route->next)
			if (choose(route, &id, settings.dialog_key, wanted, dialog, &result))
				return 0;
	}
	return result;
}

int dialog_route_of_response(struct sip_msg *msg, const struct dialog *wanted, struct dialog *dialog)
{
	return read_routes(msg, &msg->record_route, wanted, dialog);
}

int dialog_route_of_answer(struct sip_msg *msg, struct dialog *dialog)
{
	struct sender_found sender;
	if (sender_find(msg, &sender))
		return dialog_route_of_response(msg, NULL, dialog);
	struct dialog wanted = {.direction = sender.side == SIDE_SERVICE ? TO_SERVICE : TO_OPERATOR};
	return dialog_route_of_response(msg, &wanted, dialog);
}

/* ------- site_identify: a peer that is gone ------- */

/* Before loose_route(). */
int dialog_route_sender(struct sip_msg *msg, struct sender_found *found)
{
	struct dialog dialog;
	bool caller;
	if (parse_headers(msg, HDR_EOH_F, 0) < 0 || read_routes(msg, &msg->route, NULL, &dialog) ||
	    calls_find_sender(&dialog, msg, &caller, found->group))
		return -ENOENT;
	found->side = caller == (dialog.direction == TO_SERVICE) ? SIDE_OPERATOR : SIDE_SERVICE;
	found->peer = caller ? dialog.ingress : dialog.egress;
	return 0;
}

/* ------- site_answer_dialog ------- */

int dialog_route_answers(struct sip_msg *msg)
{
	struct dialog dialog;
	struct ends ends;
	struct sender_found sender;
	if (msg->first_line.type != SIP_REPLY || parse_headers(msg, HDR_EOH_F, 0) < 0 || sender_find(msg, &sender) ||
	    dialog_route_of_answer(msg, &dialog) || ends_find(&dialog, &ends))
		return -1;
	str group = str_of(sender.group);
	if (!is_of_group(&group, &ends.egress))
		return -1;
	/* in the place of the transaction's: an INVITE that started the dialog went from ingress to egress */
	call_state_set_int(CALL_IN, (int)dialog.ingress);
	call_state_set_int(CALL_OUT, (int)dialog.egress);
	call_state_set_int(CALL_SECURED, dialog.policy & DIALOG_INGRESS_SECURED ? CALL_SECURED_SENDER : 0);
	call_state_set_int(CALL_INVITE, (int)dialog.invite);
	return call_state_set_str(CALL_GROUP, str_of(ends.ingress.group)) ||
			       call_state_set_str(CALL_OUT_GROUP, str_of(ends.egress.group))
		       ? -1
		       : 1;
}
