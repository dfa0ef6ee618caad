/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * site_late_answer(): an answer that comes after the branch was given up. tm would drop it, or forward it to a caller
 * who has a final answer already; the callee would be in a call with nobody. So the node takes the caller's place:
 * ACK and BYE, and for what comes even later CANCEL and the hop's own ACK.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <core/data_lump_rpl.h>
#include <core/dprint.h>
#include <core/forward.h>
#include <core/msg_translator.h>
#include <core/parser/contact/parse_contact.h>
#include <core/parser/parse_cseq.h>
#include <core/parser/parse_from.h>
#include <core/parser/parse_nameaddr.h>
#include <core/parser/parse_rr.h>
#include <core/parser/parse_to.h>
#include <core/parser/parse_uri.h>
#include <core/parser/parse_via.h>
#include <core/resolve.h>

#include "call_state.h"
#include "calls.h"
#include "dialog_token.h"
#include "glue.h"
#include "hop.h"
#include "late_branch.h"
#include "number_table.h"
#include "place.h"
#include "route_set.h"
#include "script.h"
#include "service.h"
#include "site_failover_api.h"
#include "state.h"

enum { HEADERS_MAX = 4096, URI_MAX = 1024, MESSAGE_MAX = 4096 };

static const str ack = STR_STATIC_INIT("ACK");
static const str bye = STR_STATIC_INIT("BYE");
static const str invite = STR_STATIC_INIT("INVITE");
static const str cancel = STR_STATIC_INIT("CANCEL");

/* ------- which answers are late ------- */

static int status_of_end(const struct cell *cell, int branch)
{
	if (cell->flags & T_CANCELED)
		return 487;
	return cell->uas.status >= 200 ? (int)cell->uas.status : cell->uac[branch].last_received;
}

static bool is_late(const struct cell *cell, int branch)
{
	if (cell->uas.status >= 300)
		return true;
	if (cell->uas.status >= 200)
		return cell->relayed_reply_branch != branch;
	return cell->uac[branch].last_received >= 300;
}

static bool has_to_tag(const struct cell *cell, bool wanted)
{
	struct sip_msg *request = cell->uas.request;
	return !is_local(cell) && request && request->to && request->to->parsed &&
	       (get_to(request)->tag_value.len > 0) == wanted;
}

/* An answer within a dialog is its caller's, however late: BYE would end a call that two people are in. */
static bool starts_call(const struct cell *cell)
{
	return is_invite(cell) && has_to_tag(cell, false);
}

static bool is_in_dialog(const struct cell *cell)
{
	return has_to_tag(cell, true);
}

/* Of two answers that come while the first one still waits for rtpengine, only one is the caller's. */
static bool claim(int branch)
{
	int claimed = call_state_int(CALL_CLAIMED, 0);
	if (claimed == 0)
		call_state_set_int(CALL_CLAIMED, branch + 1);
	return claimed == 0 || claimed == branch + 1;
}

/*
 * late_answer=take: nobody rang for the caller yet, so the branch that was given up is as good as the one that is being
 * tried. tm is told that it has no final answer, relays this one, and cancels the other. Until then a failure of the
 * other waits for this branch.
 */
static bool take(struct cell *cell, int branch, struct sip_msg *msg)
{
	struct ua_client *client = &cell->uac[branch];
	struct dialog sent = {.direction = (enum direction)call_state_int(CALL_DIRECTION, TO_SERVICE),
			      .invite = (uint32_t)call_state_int(CALL_INVITE, 0)},
		      dialog;
	struct place place;
	if (cell->uas.status > 100 || cell->flags & T_CANCELED || !(client->request.flags & F_RB_TIMEOUT) ||
	    dialog_route_of_response(msg, &sent, &dialog) || place_find(dialog.egress, &place) || !claim(branch))
		return false;
	client->last_received = 100;
	client->request.flags &= ~F_RB_TIMEOUT;
	call_state_set_int(CALL_SENT, 0);
	call_state_set_int(CALL_OUT, (int)dialog.egress);
	call_state_set_str(CALL_OUT_GROUP, str_of(place.group));
	return true;
}

enum verdict { NOT_OURS, GIVEN_UP, LATE, TAKEN };

/* An answer that crosses the end of its branch is judged at its retransmission. */
static enum verdict judge_answer(struct cell *cell, int branch, struct sip_msg *msg)
{
	bool late = is_late(cell, branch);
	if (!site_state.parameters.take_late || cell->uas.status >= 200)
		return late ? LATE : NOT_OURS;
	struct call_state_scope scope = call_state_enter(cell);
	enum verdict verdict = LATE;
	if (is_late(cell, branch))
		verdict = take(cell, branch, msg) ? TAKEN : LATE;
	else if (claim(branch))
		verdict = NOT_OURS;
	call_state_leave(scope);
	return verdict;
}

static enum verdict judge(struct sip_msg *msg, int *cause, char *uri, int size)
{
	int branch = -1;
	bool answer = msg->REPLY_STATUS >= 200 && msg->REPLY_STATUS < 300 && STR_EQ(get_cseq(msg)->method, invite);
	enum verdict verdict = NOT_OURS;
	if (site_state.tm.t_check(msg, &branch) != 1)
		return late_branch_known(msg->via1->branch->value, uri, size, cause) ? (answer ? LATE : GIVEN_UP)
										     : NOT_OURS;
	struct cell *cell = site_state.tm.t_gett();
	if (answer && branch >= 0 && choice_watches(cell) && starts_call(cell)) {
		*cause = status_of_end(cell, branch);
		verdict = judge_answer(cell, branch, msg);
		if (verdict == LATE && *cause < 200)
			*cause = 200;
	}
	site_state.tm.t_unref(msg);
	return verdict;
}

/* ------- the route towards the callee ------- */

static bool names_udp_address(str *text)
{
	struct sip_uri uri;
	if (text->len == 0 || parse_uri(text->s, text->len, &uri) || uri.maddr_val.len)
		return false;
	return (uri.proto == PROTO_UDP || uri.proto == PROTO_NONE) && uri.type == SIP_URI_T &&
	       (str2ip(&uri.host) || str2ip6(&uri.host));
}

static str hop_text(const struct ip_addr *ip, unsigned port, int transport, char uri[PLACE_URI_MAX])
{
	char address[IP_ADDR_MAX_STRZ_SIZE];
	ip_addr2sbufz((struct ip_addr *)ip, address, sizeof(address));
	snprintf(uri, PLACE_URI_MAX, "sip:%s:%u;transport=%s", address, port,
		 transport == PROTO_TCP   ? "tcp"
		 : transport == PROTO_TLS ? "tls"
					  : "udp");
	return str_of(uri);
}

/* Over TCP and TLS this is its connection: the address finds it. */
static str hop_of_sender(struct sip_msg *msg, char uri[PLACE_URI_MAX])
{
	return hop_text(&msg->rcv.src_ip, msg->rcv.src_port, msg->rcv.proto, uri);
}

/*
 * Where the message really goes. Over UDP the next hop if it is an address of one of our groups: nobody leads us
 * elsewhere. Else where the response came from. A name is never looked up.
 */
static str next_hop(struct sip_msg *msg, str *wanted, char uri[PLACE_URI_MAX])
{
	struct place place;
	if (msg->rcv.proto == PROTO_UDP && names_udp_address(wanted) &&
	    hop_of_uri(*wanted, (struct span){}, &place) == 0)
		return *wanted;
	return hop_of_sender(msg, uri);
}

/* ------- ACK and BYE in the caller's place ------- */

struct writer {
	char text[HEADERS_MAX];
	size_t length;
	bool full;
};

__attribute__((format(printf, 2, 3))) static void write_line(struct writer *writer, const char *format, ...)
{
	va_list arguments;
	if (writer->full)
		return;
	size_t room = sizeof(writer->text) - writer->length;
	va_start(arguments, format);
	int length = vsnprintf(writer->text + writer->length, room, format, arguments);
	va_end(arguments);
	writer->full = length < 0 || (size_t)length >= room;
	if (!writer->full)
		writer->length += (size_t)length;
}

static void write_routes(struct writer *writer, const struct route_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		write_line(writer, "Route: %.*s\r\n", STR_FMT(&set->routes[i]));
}

/* Headers of this type, as Routes in their order. */
static void write_as_routes(struct writer *writer, const struct sip_msg *msg, hdr_types_t type)
{
	for (const struct hdr_field *header = msg->headers; header; header = header->next)
		if (header->type == type)
			write_line(writer, "Route: %.*s\r\n", STR_FMT(&header->body));
}

/* The operator's custom header goes on all that goes to the operator, so on these too. */
static void write_custom_header(struct writer *writer, uint32_t attributes)
{
	struct attribute_set set;
	struct topology_view view;
	struct topology_settings settings;
	char name[FIELD_HEADER_NAME_MAX + 1];
	if (number_table_set(site_state.provisioning.region, attributes, &set) || !*attribute_set_header(&set))
		return;
	const struct service *service = service_by_id(set.service);
	do {
		if (topology_open(site_state.provisioning.region, &view) || topology_settings(&view, &settings))
			return;
		place_copy_text(name, sizeof(name), settings.custom_header);
	} while (!topology_current(&view));
	if (name[0] && service && service->custom_header)
		write_line(writer, "%s: %s\r\n", name, attribute_set_header(&set));
}

static const struct {
	int cause;
	const char *text;
} reasons[] = {
	{200, "Call completed elsewhere"},
	{408, "No answer in time"},
	{487, "Caller gave up"},
	{},
};

static const char *reason_text(int cause)
{
	for (size_t i = 0; reasons[i].cause; i++)
		if (reasons[i].cause == cause)
			return reasons[i].text;
	return "Call ended before this answer";
}

/* What a request of ours needs: the dialog as the one who gets it sees it, and how to reach him. */
struct ending {
	struct sip_msg *msg; /* of the dialog: for Call-ID */
	struct to_body *local, *remote;
	struct writer routes;
	str contact, hop;
	char contact_text[URI_MAX], hop_text[PLACE_URI_MAX];
	struct socket_info *socket;
	unsigned cseq;
	uint32_t attributes; /* whose header it carries */
};

/* For the one who sent this answer to an INVITE that began a dialog. */
static int ending_read(struct sip_msg *msg, struct ending *ending)
{
	struct route_set set;
	struct dialog dialog = {};
	*ending = (struct ending){.msg = msg, .socket = msg->rcv.bind_address};
	/* the header goes to no service; to a callee whose call is not known none does */
	if (dialog_route_of_answer(msg, &dialog) == 0 && dialog.direction == TO_OPERATOR)
		ending->attributes = dialog.attribute_set;
	if (parse_from_header(msg) < 0 || parse_to_header(msg) < 0 || route_set_read(msg, dialog.invite, &set) ||
	    route_set_contact(msg, &ending->contact) || str2int(&get_cseq(msg)->number, &ending->cseq))
		return -EINVAL;
	ending->local = get_from(msg);
	ending->remote = get_to(msg);
	write_routes(&ending->routes, &set);
	ending->hop = next_hop(msg, set.count ? &set.next : &ending->contact, ending->hop_text);
	return 0;
}

static int send_request(struct ending *ending, const str *method, unsigned cseq, struct writer *headers)
{
	uac_req_t request;
	dlg_t dialog = {
		.id = {.call_id = ending->msg->callid->body,
		       .loc_tag = ending->local->tag_value,
		       .rem_tag = ending->remote->tag_value},
		.loc_seq = {.value = cseq, .is_set = 1},
		.loc_uri = ending->local->uri,
		.rem_uri = ending->remote->uri,
		.rem_target = ending->contact,
		.dst_uri = ending->hop,
		.state = DLG_CONFIRMED,
		.send_sock = ending->socket,
	};
	str text = {.s = headers->text, .len = (int)headers->length};
	if (headers->full)
		return -E2BIG;
	set_uac_req(&request, (str *)method, text.len ? &text : NULL, NULL, &dialog, 0, NULL, NULL);
	return site_state.tm.t_uac(&request) < 0 ? -EIO : 0;
}

static int send_ack(struct ending *ending)
{
	struct writer headers = ending->routes;
	write_custom_header(&headers, ending->attributes);
	return send_request(ending, &ack, ending->cseq, &headers);
}

static int send_bye(struct ending *ending, int cause, const char *text)
{
	struct writer headers = ending->routes;
	write_custom_header(&headers, ending->attributes);
	write_line(&headers, "Reason: SIP;cause=%d;text=\"%s\"\r\n", cause, text);
	return send_request(ending, &bye, ending->cseq + 1, &headers);
}

static void ended(struct sip_msg *msg, int cause, const char *text)
{
	site_count(late_byes);
	LM_NOTICE("answer of call %.*s from %s is not wanted, and ended by BYE (%d %s)\n", STR_FMT(&msg->callid->body),
		  ip_addr2a(&msg->rcv.src_ip), cause, text);
}

/* The next retransmission may do better. */
static void not_ended(struct sip_msg *msg, bool fresh)
{
	if (fresh)
		late_branch_reopen(msg->via1->branch->value, get_to(msg)->tag_value);
	LM_ERR("answer of call %.*s is not wanted, and sending failed\n", STR_FMT(&msg->callid->body));
}

/* True if this answer was not ended before. */
static bool end_answer(struct sip_msg *msg, int cause, const char *text, struct ending *ending)
{
	bool fresh = late_branch_end(msg->via1->branch->value, get_to(msg)->tag_value, cause);
	int result = STR_EQ(get_cseq(msg)->method, invite) ? send_ack(ending) : 0;
	if (result == 0 && fresh)
		result = send_bye(ending, cause, text);
	if (fresh)
		site_count(late_answers);
	if (result)
		not_ended(msg, fresh);
	else if (fresh)
		ended(msg, cause, text);
	return fresh;
}

/* The same for an answer that began a dialog. */
static bool end_first_answer(struct sip_msg *msg, int cause, const char *text)
{
	struct ending ending;
	if (ending_read(msg, &ending) == 0)
		return end_answer(msg, cause, text, &ending);
	LM_ERR("answer of %.*s cannot be ended: no usable Contact, From, To or Record-Route\n",
	       STR_FMT(&msg->callid->body));
	return false;
}

/* ------- what else comes for a branch that tm has forgotten ------- */

/* A request of the INVITE's own hop: same Via, same number. */
static void send_of_hop(struct sip_msg *msg, const char *method, const char *uri, bool with_tag)
{
	char text[MESSAGE_MAX];
	struct dest_info destination;
	struct via_body *via = msg->via1;
	struct to_body *to = get_to(msg);
	int length = snprintf(
		text, sizeof(text),
		"%s %s SIP/2.0\r\nVia: SIP/2.0/%.*s %.*s%s%.*s;branch=%.*s\r\nMax-Forwards: 70\r\n"
		"From: %.*s\r\nTo: <%.*s>%s%.*s\r\nCall-ID: %.*s\r\nCSeq: %.*s %s\r\nContent-Length: 0\r\n\r\n",
		method, uri, STR_FMT(&via->transport), STR_FMT(&via->host), via->port_str.len ? ":" : "",
		STR_FMT(&via->port_str), STR_FMT(&via->branch->value), STR_FMT(&msg->from->body), STR_FMT(&to->uri),
		with_tag && to->tag_value.len ? ";tag=" : "", with_tag ? to->tag_value.len : 0,
		to->tag_value.s ? to->tag_value.s : "", STR_FMT(&msg->callid->body), STR_FMT(&get_cseq(msg)->number),
		method);
	if (length < 0 || (size_t)length >= sizeof(text))
		return;
	init_dest_info(&destination);
	init_dst_from_rcv(&destination, &msg->rcv);
	msg_send(&destination, text, length);
}

static void end_given_up(struct sip_msg *msg, const char *uri)
{
	if (!STR_EQ(get_cseq(msg)->method, invite) || uri[0] == '\0')
		return;
	if (parse_from_header(msg) < 0 || parse_to_header(msg) < 0)
		return;
	if (msg->REPLY_STATUS < 200)
		send_of_hop(msg, "CANCEL", uri, false);
	else
		send_of_hop(msg, "ACK", uri, true);
}

/* ------- the doors ------- */

static bool is_readable(struct sip_msg *msg)
{
	if (msg->first_line.type != SIP_REPLY || parse_headers(msg, HDR_EOH_F, 0) < 0)
		return false;
	return msg->via1 && msg->via1->branch && msg->via1->branch->value.s && msg->cseq && get_cseq(msg) &&
	       msg->callid && msg->to && msg->from && msg->rcv.proto >= PROTO_UDP && msg->rcv.proto <= PROTO_TLS;
}

static bool is_of_invite(struct sip_msg *msg)
{
	return STR_EQ(get_cseq(msg)->method, invite) || STR_EQ(get_cseq(msg)->method, cancel);
}

int late_answer_end(struct sip_msg *msg)
{
	char uri[URI_MAX] = "";
	int cause = 0;
	if (!is_readable(msg) || !is_of_invite(msg))
		return -1;
	switch (judge(msg, &cause, uri, sizeof(uri))) {
	case LATE:
		end_first_answer(msg, cause, reason_text(cause));
		return 1;
	case GIVEN_UP:
		end_given_up(msg, uri);
		return 1;
	case TAKEN:
		site_count(late_taken);
		LM_NOTICE("late answer of call %.*s taken\n", STR_FMT(&msg->callid->body));
		break;
	case NOT_OURS:
		break;
	}
	return -1;
}

/* ------- answers that are refused ------- */

/* Whose 2xx may have an answer to an offer: where it is refused, its sender has changed the session already. */
enum { SESSION_METHODS = METHOD_INVITE | METHOD_UPDATE | METHOD_PRACK };

static bool is_early(struct cell *cell, struct sip_msg *answer)
{
	struct call_state_scope scope = call_state_enter(cell);
	bool early = calls_are_early(answer);
	call_state_leave(scope);
	return early;
}

/* Nobody but the callee can end an early dialog, and its INVITE may have others: it goes on as it was. */
static bool ends_session(struct cell *cell, struct sip_msg *answer)
{
	unsigned method = get_cseq(answer)->method_id;
	return method == METHOD_INVITE || (method & SESSION_METHODS && !is_early(cell, answer));
}

/* A BYE of ours in the place of someone whose numbers we do not know: higher than he ever comes. */
enum { LAST_CSEQ = 1 << 30 };

/* The two ends of a request within a dialog that is over now. */
struct ends {
	bool over;
	struct ending requester, answerer;
};

/* tm's lock, taken as tm does, so that tm may take it again: nobody else builds an answer of this transaction meanwhile
 */
static void answers_lock(struct cell *cell)
{
	lock_get(&cell->reply_mutex);
	atomic_set(&cell->reply_locker_pid, my_pid());
}

static void answers_unlock(struct cell *cell)
{
	atomic_set(&cell->reply_locker_pid, 0);
	lock_release(&cell->reply_mutex);
}

/* We end the dialog of @p msg, as site_dialog() found it for the request: no BYE of theirs will. */
static void end_call(struct sip_msg *msg)
{
	struct dialog dialog = {.invite = (uint32_t)call_state_int(CALL_INVITE, 0)};
	enum call_relayed unused;
	calls_end(&dialog, msg, &unused);
}

/* What is kept points into the answer or is copied: the transaction is not ours for long. */
static void contact_set(struct ending *ending, str contact)
{
	place_copy_text(ending->contact_text, sizeof(ending->contact_text), span_of_str(&contact));
	ending->contact = str_of(ending->contact_text);
}

/* To where his request came from: the way back to it was known to nobody but the first INVITE. */
static void requester_read(struct sip_msg *request, struct sip_msg *answer, struct ending *ending)
{
	name_addr_t contact;
	*ending = (struct ending){.msg = answer,
				  .local = get_to(answer),
				  .remote = get_from(answer),
				  .socket = request->rcv.bind_address,
				  .cseq = LAST_CSEQ};
	write_as_routes(&ending->routes, request, HDR_RECORDROUTE_T);
	ending->hop = hop_of_sender(request, ending->hop_text);
	ending->contact = ending->hop; /* a PRACK need not have a Contact */
	if (request->contact && parse_nameaddr(&request->contact->body, &contact) == 0)
		contact_set(ending, contact.uri);
}

/* As the request went to him. */
static void answerer_read(struct ua_client *client, struct sip_msg *answer, struct ending *ending)
{
	struct sip_msg sent = {.buf = client->request.buffer, .len = (unsigned)client->request.buffer_len};
	struct dest_info *destination = &client->request.dst;
	struct ip_addr address;
	*ending = (struct ending){
		.msg = answer, .local = get_from(answer), .remote = get_to(answer), .socket = destination->send_sock};
	str2int(&get_cseq(answer)->number, &ending->cseq);
	if (parse_msg(sent.buf, sent.len, &sent) == 0 && parse_headers(&sent, HDR_EOH_F, 0) == 0)
		write_as_routes(&ending->routes, &sent, HDR_ROUTE_T);
	free_sip_msg(&sent);
	su2ip_addr(&address, &destination->to);
	ending->hop = hop_text(&address, su_getport(&destination->to), destination->proto, ending->hop_text);
	contact_set(ending, client->uri);
	route_set_contact(answer, &ending->contact);
}

static void ends_read(struct cell *cell, int branch, struct sip_msg *answer, struct ends *ends)
{
	struct call_state_scope scope = call_state_enter(cell);
	uint32_t attributes = (uint32_t)call_state_int(CALL_ATTRIBUTES, 0);
	bool of_operator = call_state_int(CALL_SIDE, 0) == SIDE_OPERATOR;
	end_call(answer);
	call_state_leave(scope);
	ends->over = true;
	requester_read(cell->uas.request, answer, &ends->requester);
	answerer_read(&cell->uac[branch], answer, &ends->answerer);
	ends->requester.attributes = of_operator ? attributes : 0;
	ends->answerer.attributes = of_operator ? 0 : attributes;
}

static int answer_request(struct cell *cell, int code, char *reason, str *headers)
{
	struct sip_msg *request = cell->uas.request;
	struct lump_rpl *lump = headers->len ? add_lump_rpl(request, headers->s, headers->len, LUMP_RPL_HDR) : NULL;
	int result = site_state.tm.t_reply_trans(cell, request, (unsigned)code, reason);
	if (lump) {
		/* the request is in shared memory, the lump is this process's */
		unlink_lump_rpl(request, lump);
		free_lump_rpl(lump);
	}
	return result > 0 ? 0 : -EIO;
}

/* 0 if whoever waits for this answer has @p code now, or had an answer before. */
static int refuse_requester(struct cell *cell, int branch, struct sip_msg *msg, int code, char *reason, str *headers,
			    struct ends *ends)
{
	bool in_dialog = is_in_dialog(cell);
	if (branch < 0 || !(in_dialog || (choice_watches(cell) && starts_call(cell))) ||
	    (cell->uas.status >= 200 && (!in_dialog || cell->uas.status < 300)))
		return -ENOENT;
	if (in_dialog && ends_session(cell, msg))
		ends_read(cell, branch, msg, ends);
	if (cell->uas.status >= 300)
		return 0;
	/* this branch has its final answer: nothing to cancel there */
	cell->uac[branch].last_received = 200;
	answers_lock(cell);
	int result = answer_request(cell, code, reason, headers);
	answers_unlock(cell);
	return result;
}

static int refuse_in_transaction(struct sip_msg *msg, int code, char *reason, str *headers, struct ends *ends)
{
	int branch = -1;
	if (site_state.tm.t_check(msg, &branch) != 1)
		return -ENOENT;
	int result = refuse_requester(site_state.tm.t_gett(), branch, msg, code, reason, headers, ends);
	site_state.tm.t_unref(msg);
	return result;
}

int late_answer_refuse(struct sip_msg *msg, int code, str *reason, str *headers)
{
	char text[64];
	static struct ends ends;
	ends.over = false;
	if (!is_readable(msg) || msg->REPLY_STATUS < 200 || msg->REPLY_STATUS >= 300 || code < 300 || code > 699 ||
	    parse_from_header(msg) < 0 || parse_to_header(msg) < 0)
		return -1;
	place_copy_text(text, sizeof(text), span_of_str(reason));
	if (refuse_in_transaction(msg, code, text, headers, &ends))
		return -1;
	if (!ends.over)
		return STR_EQ(get_cseq(msg)->method, invite) ? (end_first_answer(msg, code, text), 1) : 2;
	if (end_answer(msg, code, text, &ends.answerer) && send_bye(&ends.requester, code, text))
		LM_ERR("call %.*s: sending BYE failed\n", STR_FMT(&msg->callid->body));
	return 1;
}

/* ------- a dialog that must not go on ------- */

/* Where the request goes, as site_dialog() aimed it. */
static void receiver_of(struct sip_msg *msg, struct ending *ending)
{
	*ending = (struct ending){.msg = msg,
				  .local = get_from(msg),
				  .remote = get_to(msg),
				  .contact = *GET_RURI(msg),
				  .hop = *GET_NEXT_HOP(msg),
				  .socket = msg->force_send_socket};
	str2int(&get_cseq(msg)->number, &ending->cseq);
}

/* Where it came from: an ACK need not have a Contact. */
static void sender_of(struct sip_msg *msg, struct ending *ending)
{
	*ending = (struct ending){.msg = msg,
				  .local = get_to(msg),
				  .remote = get_from(msg),
				  .socket = msg->rcv.bind_address,
				  .cseq = LAST_CSEQ};
	ending->hop = hop_of_sender(msg, ending->hop_text);
	ending->contact = ending->hop;
	route_set_contact(msg, &ending->contact);
}

int late_answer_end_dialog(struct sip_msg *msg, int code, str *reason)
{
	char text[64];
	struct ending receiver, sender;
	uint32_t attributes = (uint32_t)call_state_int(CALL_ATTRIBUTES, 0);
	bool of_operator = call_state_int(CALL_SIDE, 0) == SIDE_OPERATOR;
	if (msg->first_line.type != SIP_REQUEST || parse_headers(msg, HDR_EOH_F, 0) < 0 || !msg->callid || !msg->cseq ||
	    parse_from_header(msg) < 0 || parse_to_header(msg) < 0 || get_to(msg)->tag_value.len == 0 ||
	    call_state_int(CALL_OUT, TOPOLOGY_NONE) == TOPOLOGY_NONE || code < 300 || code > 699)
		return -1;
	place_copy_text(text, sizeof(text), span_of_str(reason));
	end_call(msg);
	receiver_of(msg, &receiver);
	sender_of(msg, &sender);
	receiver.attributes = of_operator ? 0 : attributes;
	sender.attributes = of_operator ? attributes : 0;
	int result = send_bye(&receiver, code, text);
	return send_bye(&sender, code, text) || result ? -1 : 1;
}

int bind_site_failover(struct site_failover_api *api)
{
	api->refuse_answer = late_answer_refuse;
	api->media_over = choice_media_over;
	return 0;
}

/* ------- the end of a transaction ------- */

/* What a timer or a CANCEL puts in the place of an answer is none. */
static bool has_final_answer(const struct ua_client *branch)
{
	return branch->last_received >= 200 && branch->request.flags & F_RB_REPLIED &&
	       !(branch->request.flags & F_RB_TIMEOUT);
}

static bool was_given_up(const struct ua_client *branch)
{
	return branch->request.buffer && !has_final_answer(branch);
}

void late_answer_forget(struct cell *cell)
{
	char text[MAX_BRANCH_PARAM_LEN];
	for (int i = 0; i < cell->nr_of_outgoings; i++) {
		str branch = {.s = text, .len = 0};
		if (was_given_up(&cell->uac[i]) && branch_builder(cell->hash_index, 0, cell->md5, i, text, &branch.len))
			late_branch_add(branch, cell->uac[i].uri, status_of_end(cell, i));
	}
}
