/* SPDX-License-Identifier: GPL-2.0-or-later */
/** site_record_route() and site_dialog(): the state of a dialog in the tg parameter of our Record-Route. */
#include <errno.h>
#include <stdio.h>

#include <core/dprint.h>
#include <core/dset.h>
#include <core/parser/parse_rr.h>
#include <core/parser/parse_uri.h>
#include <core/resolve.h>

#include "call_state.h"
#include "dialog_token.h"
#include "glue.h"
#include "place.h"
#include "script.h"
#include "state.h"

static str parameter = STR_STATIC_INIT("tg");

static int call_id_of(struct sip_msg *msg, struct span *call_id)
{
	if (parse_headers(msg, HDR_CALLID_F, 0) || !msg->callid)
		return -EINVAL;
	*call_id = span_of_str(&msg->callid->body);
	return 0;
}

/* ------- site_record_route ------- */

/*
 * Several peers may share the caller's source prefix (the front ends of a cloud service do). Then the token names one
 * of the group that is in service, so that a later request towards the caller needs no name looked up.
 */
static uint32_t peer_of_caller(void)
{
	int peer = call_state_int(CALL_IN, TOPOLOGY_NONE);
	str group = call_state_str(CALL_GROUP);
	return peer == TOPOLOGY_NONE ? choice_first(&group) : (uint32_t)peer;
}

int dialog_route_record(struct sip_msg *msg)
{
	struct topology_settings settings;
	struct span call_id;
	char token[DIALOG_TOKEN_LENGTH + 1], text[DIALOG_TOKEN_LENGTH + sizeof(";tg=")];
	struct dialog dialog = {
		.direction = (enum direction)call_state_int(CALL_DIRECTION, TO_SERVICE),
		.ingress = peer_of_caller(),
		.egress = (uint32_t)call_state_int(CALL_OUT, TOPOLOGY_NONE),
		.attribute_set = (uint32_t)call_state_int(CALL_ATTRIBUTES, 0),
	};
	if (msg->msg_flags & FL_RR_ADDED) {
		LM_ERR("Record-Route was added already\n");
		return -1;
	}
	if (site_settings(&settings) || call_id_of(msg, &call_id))
		return -1;
	dialog_token_write(&dialog, call_id, settings.dialog_key, token);
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

static bool is_address(str *host)
{
	return str2ip(host) || str2ip6(host);
}

static bool next_hop_is_address(struct sip_msg *msg)
{
	struct sip_uri uri;
	str next = *GET_NEXT_HOP(msg);
	return parse_uri(next.s, next.len, &uri) == 0 && is_address(uri.maddr_val.len ? &uri.maddr_val : &uri.host);
}

/* Where the topology says that the other peer is: no name is looked up for a request of a dialog. */
static void aim_at(struct sip_msg *msg, uint32_t peer)
{
	struct place place;
	char text[PLACE_URI_MAX];
	if (place_find(peer, &place))
		return;
	call_state_set_str(CALL_OUT_GROUP, str_of(place.group));
	struct socket_info *socket = place_socket(&place);
	if (socket && !msg->force_send_socket)
		set_force_socket(msg, socket);
	if (next_hop_is_address(msg) || !place.has_address)
		return;
	place_uri(&place, text);
	str destination = str_of(text);
	if (set_dst_uri(msg, &destination) == 0)
		ruri_mark_new();
}

static bool sender_is_ingress(const struct dialog *dialog)
{
	int side = call_state_int(CALL_SIDE, 0);
	return side == (dialog->direction == TO_SERVICE ? SIDE_OPERATOR : SIDE_SERVICE);
}

static void take_over(struct sip_msg *msg, const struct dialog *dialog)
{
	bool forward = sender_is_ingress(dialog);
	uint32_t to = forward ? dialog->egress : dialog->ingress;
	call_state_set_int(CALL_DIRECTION, dialog->direction);
	call_state_set_int(CALL_ATTRIBUTES, (int)dialog->attribute_set);
	call_state_set_int(CALL_IN, (int)(forward ? dialog->ingress : dialog->egress));
	call_state_set_int(CALL_OUT, (int)to);
	if (to != TOPOLOGY_NONE)
		aim_at(msg, to);
}

int dialog_route_follow(struct sip_msg *msg)
{
	struct topology_settings settings;
	struct span call_id;
	struct dialog dialog;
	str token;
	if (site_settings(&settings))
		return -3;
	if (site_state.rr.get_route_param(msg, &parameter, &token) < 0 || call_id_of(msg, &call_id) ||
	    dialog_token_read(span_of_str(&token), call_id, settings.dialog_key, &dialog))
		return -1;
	take_over(msg, &dialog);
	return 1;
}

/* ------- the token in a response ------- */

static int token_of_route(rr_t *route, struct span *token)
{
	struct sip_uri uri;
	if (parse_uri(route->nameaddr.uri.s, route->nameaddr.uri.len, &uri))
		return -EINVAL;
	struct span rest = span_of_str(&uri.params);
	for (size_t i = 0; i + 3 < rest.len; i++) {
		if ((i > 0 && rest.ptr[i - 1] != ';') || memcmp(rest.ptr + i, "tg=", 3))
			continue;
		size_t start = i + 3, end = start;
		while (end < rest.len && rest.ptr[end] != ';')
			end++;
		*token = (struct span){rest.ptr + start, end - start};
		return 0;
	}
	return -ENOENT;
}

int dialog_route_of_response(struct sip_msg *msg, struct dialog *dialog)
{
	struct topology_settings settings;
	struct span call_id, token;
	if (site_settings(&settings) || call_id_of(msg, &call_id))
		return -EAGAIN;
	for (struct hdr_field *header = msg->record_route; header; header = next_sibling_hdr(header)) {
		if (parse_rr(header))
			return -EINVAL;
		for (rr_t *route = header->parsed; route; route = route->next)
			if (token_of_route(route, &token) == 0)
				return dialog_token_read(token, call_id, settings.dialog_key, dialog);
	}
	return -ENOENT;
}
