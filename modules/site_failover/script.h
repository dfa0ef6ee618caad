/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The script functions; each returns what the script sees. */
#ifndef TRUNKGATE_SITE_FAILOVER_SCRIPT_H
#define TRUNKGATE_SITE_FAILOVER_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include <core/parser/msg_parser.h>
#include <core/pvar.h>
#include <core/rpc.h>

#include "field.h"

/** Who sent this message: sets side, group, in, and dir if it starts a dialog. 1, -1 unknown, -2 transport, -3 empty,
 * -4 empty or not complete, but this Kamailio has just started. */
int sender_identify(struct sip_msg *msg);

struct sender_found {
	enum side side;
	uint32_t peer; /**< TOPOLOGY_NONE: several share the address */
	char group[FIELD_NAME_MAX + 1];
};
/** The same without setting anything. 0 or -errno. */
int sender_find(struct sip_msg *msg, struct sender_found *found);

/** The group that now gets a call of this service: sets out_group. 1, -1 none, -3 empty. */
int choice_service(struct sip_msg *msg, str *service);
/** Puts the candidates of a group in order. 1, -1 no such group, -2 no peer in service, -3 empty. */
int choice_select(struct sip_msg *msg, str *group);
/** A peer of the group as site_select() would choose it now, one out of service if there is no other. TOPOLOGY_NONE if
 * the group is not there. */
uint32_t choice_first(str *group);
/** Marks the call: capacity, drain and health refuse it nothing. 1. */
int choice_emergency(struct sip_msg *msg);
/** 1, -1: the node is out of service, and this is no emergency call. */
int choice_admits(struct sip_msg *msg);
/** Core reply_route, after t_check_trans(): 1 if the request that this response answers has this message flag, or -1.
 */
int choice_request_flag(struct sip_msg *msg, int flag);
/** Aims at the next candidate. 1, -1 none left, -2 the caller gave up. */
int choice_next(struct sip_msg *msg);
/** failure_route: may another peer be tried? 1, -1. */
int choice_retry(struct sip_msg *msg);
/** See site_failover_api.h. */
bool choice_media_over(struct sip_msg *msg);
/** True if the transaction is a call that site_select() placed. */
struct cell;
bool choice_watches(const struct cell *cell);

/** Record-Route with the dialog's token. 1, -1. */
int dialog_route_record(struct sip_msg *msg);
/** In-dialog request after loose_route(): state and next hop from the token. 1, -1 no token of this sender, -3 empty.
 */
int dialog_route_follow(struct sip_msg *msg);
/**
 * The sender of an in-dialog request whose address the topology does not know: one of the two peers of a counted call,
 * taken out since. 0, with side, group and peer; or -errno.
 */
int dialog_route_sender(struct sip_msg *msg, struct sender_found *found);
/** Core reply_route: 1 if the response belongs to a dialog of ours and comes from its callee's group. Else -1. */
int dialog_route_answers(struct sip_msg *msg);
/** Aims at the next hop if that is an address of one of our groups. 1, -1. */
int hop_known(struct sip_msg *msg);
/**
 * The token in a Record-Route of ours in a response: the nearest to the callee. A call that passes twice has two: with
 * @p wanted, which may be NULL, that of its INVITE, else the nearest of its direction. 0 or -errno.
 */
struct dialog;
int dialog_route_of_response(struct sip_msg *msg, const struct dialog *wanted, struct dialog *dialog);
/** The same where nothing but the answer is known: the nearest to its sender, of those that lead to his side. */
int dialog_route_of_answer(struct sip_msg *msg, struct dialog *dialog);

/** Core reply_route: 1 if the response was for us to end and is ended; drop it. Else -1. */
int late_answer_end(struct sip_msg *msg);
/**
 * Core reply_route: refuses a 2xx: who waits for it gets @p code with these header lines. If it answers an INVITE, the
 * one who sent it gets ACK and BYE; if that was within a dialog, the other one BYE too. 1, -1.
 */
int late_answer_refuse(struct sip_msg *msg, int code, str *reason, str *headers);
/** A request of a dialog, after dialog_route_follow(): BYE to both ends. 1, -1. */
int late_answer_end_dialog(struct sip_msg *msg, int code, str *reason);
/** For other modules: site_failover_api.h. */
struct site_failover_api;
int bind_site_failover(struct site_failover_api *api);
/** tm: the transaction goes; what it gave up is remembered. */
void late_answer_forget(struct cell *cell);

/** $site(...). */
int variable_parse(pv_spec_t *spec, str *name);
int variable_get(struct sip_msg *msg, pv_param_t *param, pv_value_t *value);

extern rpc_export_t admin_rpc[];

#endif
