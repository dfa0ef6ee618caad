/* SPDX-License-Identifier: GPL-2.0-or-later */
/** site_service(), site_select(), site_next(), site_retry(): which peer gets the call, and which after it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <core/dprint.h>
#include <core/dset.h>
#include <core/mem/mem.h>
#include <core/rand/fastrand.h>
#include <core/route.h>
#include <modules/tm/timer.h>

#include "call_state.h"
#include "calls.h"
#include "dialog_token.h"
#include "glue.h"
#include "hop.h"
#include "load.h"
#include "node.h"
#include "peer_choice.h"
#include "place.h"
#include "script.h"
#include "service.h"
#include "state.h"
#include "observed.h"

enum {
	CANDIDATES_MAX = 256, /* targets of a group */
	LIST_MAX = 2048,      /* their numbers */
	URI_MAX = 2048,
	DELIVERY_FAILED = 908, /* tm's mark on a branch that could not be sent */
	FINAL_LIMIT = 30000,   /* ms: how long our own final answer waits for its ACK (RFC 3261 timer H) */
};

/* ------- site_service ------- */

int choice_service(struct sip_msg *msg, str *service)
{
	const struct service *known = service_by_name(span_of_str(service));
	struct topology_view view;
	struct span group, operator_group;
	char name[FIELD_NAME_MAX + 1];
	int result;
	if (!known)
		return -1;
	do {
		if (topology_open(site_state.provisioning.region, &view))
			return -3;
		result = topology_service(&view, known->id, &group, &operator_group);
		if (result == 0)
			place_copy_text(name, sizeof(name),
					call_state_int(CALL_DIRECTION, TO_SERVICE) == TO_SERVICE ? group
												 : operator_group);
	} while (!topology_current(&view));
	if (result || name[0] == '\0')
		return -1;
	return call_state_set_str(CALL_OUT_GROUP, str_of(name)) ? -1 : 1;
}

/* ------- site_select ------- */

static uint32_t random_bits(void *context)
{
	return fastrand();
}

/* One candidate a target; a peer whose name has none yet is one without a target. */
static size_t collect_peer(const struct topology_view *view, const struct peer_view *peer,
			   const struct topology_settings *settings, struct candidate *candidates, size_t room)
{
	struct topology_target target = {};
	struct candidate candidate = {
		.peer = peer->id,
		.priority = peer->priority,
		.weight = peer->weight,
		.rank = HEALTH_RANK_DEAD,
	};
	size_t count = 0;
	for (uint32_t i = 0; i < peer->target_count && count < room; i++) {
		struct observed *observed;
		if (topology_target(view, peer->first_target + i, &target) ||
		    !(observed = observed_of(peer->id, &target)))
			continue;
		candidate.target = observed->slot.number;
		candidate.rank = observed_admit(observed, settings);
		/* only an emergency call gets here */
		if (peer->admin != ADMIN_AUTO && candidate.rank < HEALTH_RANK_HALF_OPEN)
			candidate.rank = HEALTH_RANK_HALF_OPEN;
		candidate.srv_priority = target.srv_priority;
		candidate.srv_weight = target.srv_weight;
		candidates[count++] = candidate;
	}
	if (count == 0 && room > 0)
		candidates[count++] = candidate;
	return count;
}

static size_t collect(const struct topology_view *view, const struct group_view *group, enum admin_state worst,
		      const struct topology_settings *settings, struct candidate *candidates)
{
	struct peer_view peer;
	size_t count = 0;
	for (uint32_t i = 0; i < group->peer_count; i++)
		if (topology_peer(view, group->first_peer + i, &peer) == 0 && peer.admin <= worst)
			count += collect_peer(view, &peer, settings, candidates + count, CANDIDATES_MAX - count);
	return count;
}

/* Those up to an administrative state. Returns the number of candidates, -ENOENT or -EAGAIN. */
static int candidates_of(str *name, enum admin_state worst, struct candidate *candidates,
			 struct topology_settings *settings)
{
	struct topology_view view;
	struct group_view group;
	int result;
	do {
		result = topology_open(site_state.provisioning.region, &view);
		if (result)
			return result;
		result = topology_group_by_name(&view, span_of_str(name), &group);
		if (result == 0)
			result = topology_settings(&view, settings);
		if (result == 0)
			result = (int)collect(&view, &group, worst, settings, candidates);
	} while (!topology_current(&view));
	return result;
}

uint32_t choice_first(str *group)
{
	struct candidate candidates[CANDIDATES_MAX];
	struct topology_settings settings;
	int count = 0;
	for (enum admin_state worst = ADMIN_AUTO; count == 0 && worst <= ADMIN_DISABLED; worst++)
		count = candidates_of(group, worst, candidates, &settings);
	if (count <= 0)
		return TOPOLOGY_NONE;
	peer_choice_order(candidates, (size_t)count, random_bits, NULL);
	return candidates[0].peer;
}

/* A trial call is the first choice of one call only: another one may have claimed it since the ranks were read. */
static void put_in_order(struct candidate *candidates, size_t count, const struct topology_settings *settings)
{
	for (;;) {
		peer_choice_order(candidates, count, random_bits, NULL);
		struct observed *first = observed_at(candidates[0].target);
		if (!first || candidates[0].rank != HEALTH_RANK_USABLE || observed_claim(first, settings))
			return;
		candidates[0].rank = HEALTH_RANK_HALF_OPEN;
	}
}

/* Keeps the numbers of the targets: all, as a full one is no try. Returns how many there are, or -ENOMEM. */
static int keep_list(const struct candidate *candidates, size_t count)
{
	char list[LIST_MAX];
	size_t length = 0;
	unsigned kept = 0;
	list[0] = '\0';
	for (size_t i = 0; i < count && length + 12 < sizeof(list); i++) {
		if (candidates[i].target == 0)
			continue;
		length += (size_t)snprintf(list + length, sizeof(list) - length, "%s%u", kept++ ? "," : "",
					   candidates[i].target);
	}
	return call_state_set_str(CALL_CANDIDATES, str_of(list)) ? -ENOMEM : (int)kept;
}

static void watch_answers(struct sip_msg *msg);

/* A time that fits an XAVP's int; differences of less than 24 days are right. */
static int clock_word(uint32_t later_ms)
{
	return (int)(uint32_t)(site_clock_ms() + later_ms);
}

static bool is_emergency(void)
{
	return call_state_int(CALL_EMERGENCY, 0) != 0;
}

int choice_admits(struct sip_msg *msg)
{
	struct topology_settings settings;
	return is_emergency() || site_settings(&settings) || !node_is_closed(&settings) ? 1 : -1;
}

int choice_emergency(struct sip_msg *msg)
{
	site_count(calls_emergency);
	return call_state_set_int(CALL_EMERGENCY, 1) ? -1 : 1;
}

int choice_select(struct sip_msg *msg, str *group)
{
	struct candidate candidates[CANDIDATES_MAX];
	struct topology_settings settings;
	int count = candidates_of(group, is_emergency() ? ADMIN_DRAIN : ADMIN_AUTO, candidates, &settings);
	if (count < 0)
		return count == -EAGAIN ? -3 : -1;
	if (count == 0) {
		site_count(calls_without_peer);
		return -2;
	}
	put_in_order(candidates, (size_t)count, &settings);
	int kept = keep_list(candidates, (size_t)count);
	if (kept < 0 || call_state_set_str(CALL_OUT_GROUP, *group))
		return -1;
	if (kept == 0) {
		site_count(calls_without_peer);
		return -2;
	}
	call_state_set_int(CALL_SENT, 0);
	call_state_set_int(CALL_TRIED, 0);
	watch_answers(msg);
	call_state_set_int(CALL_END, clock_word(settings.max_call_ms));
	return 1;
}

/* ------- site_next ------- */

/* Takes the first number off the list; 0 if it is empty. */
static uint32_t take_candidate(void)
{
	char list[LIST_MAX], *rest;
	str kept = call_state_str(CALL_CANDIDATES);
	place_copy_text(list, sizeof(list), span_of_str(&kept));
	unsigned long number = strtoul(list, &rest, 10);
	if (number == 0)
		return 0;
	if (call_state_set_str(CALL_CANDIDATES, str_of(*rest == ',' ? rest + 1 : rest)))
		return 0;
	return (uint32_t)number;
}

static bool may_have(const struct place *place)
{
	bool emergency = is_emergency();
	if (place->admin > (emergency ? ADMIN_DRAIN : ADMIN_AUTO))
		return false;
	if (load_take(place, emergency))
		return true;
	site_count(calls_full);
	return false;
}

static bool next_place(struct place *place)
{
	uint32_t number, full = 0;
	while ((number = take_candidate()) != 0) {
		const struct observed *observed = observed_at(number);
		/* the limits are the peer's: its other targets have no room either */
		if (!observed || observed->slot.key.peer == full || place_of_target(number, place))
			continue;
		if (!may_have(place)) {
			full = place->peer;
			continue;
		}
		call_state_set_int(CALL_HELD, (int)place->peer);
		return true;
	}
	return false;
}

/* The place that the call had at its last peer, if it has not become a live call there. */
static void give_back(void)
{
	uint32_t peer = (uint32_t)call_state_int(CALL_HELD, TOPOLOGY_NONE);
	if (peer == TOPOLOGY_NONE)
		return;
	call_state_set_int(CALL_HELD, TOPOLOGY_NONE);
	load_give(peer);
}

/* What is left of the time for all tries; 0 if it is over. */
static unsigned time_left(void)
{
	int left = (int)((uint32_t)call_state_int(CALL_END, clock_word(0)) - (uint32_t)clock_word(0));
	return left > 0 ? (unsigned)left : 0;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static void set_limits(struct sip_msg *msg, const struct topology_settings *settings)
{
	unsigned left = time_left();
	if (msg->REQ_METHOD == METHOD_INVITE)
		site_state.tm.set_fr(msg, least(settings->progress_limit_ms, left),
				     least(settings->silence_limit_ms, left));
}

/* Emergency calls may try all there are. */
static bool may_try(const struct topology_settings *settings, int tried)
{
	return time_left() > 0 && (is_emergency() || tried < settings->max_tries);
}

/* tm waits for the ACK of a final answer as long as it waited for the peer: give it the usual time back. */
static void lift_limits(struct sip_msg *msg)
{
	site_state.tm.set_fr(msg, (unsigned)site_state.parameters.ringing_limit, FINAL_LIMIT);
}

/* An earlier failure must not be picked again as the final answer: tm takes the lowest code of all branches. */
static void drop_replies(struct sip_msg *msg, bool drop)
{
	if (is_route_type(FAILURE_ROUTE))
		site_state.drop_replies(msg, drop ? NULL : "n", NULL);
}

/* The call waits for its final answer from now on; it has it, or gets it now. */
static void open_call(struct sip_msg *invite)
{
	int ingress = call_state_int(CALL_IN, TOPOLOGY_NONE);
	if (call_state_int(CALL_OPENED, -1) >= 0)
		return;
	uint32_t mark = calls_mark(invite);
	if (call_state_set_int(CALL_MARK, (int)mark) || call_state_set_int(CALL_OPENED, ingress))
		return;
	calls_open(mark, (uint32_t)ingress);
}

static void close_call(void)
{
	int ingress = call_state_int(CALL_OPENED, -1);
	if (ingress < 0)
		return;
	call_state_set_int(CALL_OPENED, -1);
	calls_close((uint32_t)call_state_int(CALL_MARK, 0), (uint32_t)ingress);
}

static bool is_over(struct sip_msg *msg)
{
	close_call();
	return !calls_share_media(msg);
}

bool choice_media_over(struct sip_msg *msg)
{
	int branch;
	struct cell *cell = NULL;
	if (is_route_type(CORE_ONREPLY_ROUTE) && site_state.tm.t_check(msg, &branch) == 1)
		cell = site_state.tm.t_gett();
	if (!cell)
		return is_over(msg);
	struct call_state_scope scope = call_state_enter(cell);
	bool over = is_over(msg);
	call_state_leave(scope);
	/* tm has the transaction of this reply already: the reference is one too many */
	site_state.tm.t_unref(msg);
	return over;
}

static int none_left(struct sip_msg *msg)
{
	give_back();
	close_call();
	call_state_set_int(CALL_SENT, 0);
	call_state_set_int(CALL_OUT, TOPOLOGY_NONE);
	drop_replies(msg, false);
	lift_limits(msg);
	return -1;
}

static const struct cell *cell_now(void)
{
	const struct cell *cell = site_state.tm.t_gett();
	return cell == T_UNDEFINED ? NULL : cell;
}

static struct observed *last_target(void)
{
	return observed_at((uint32_t)call_state_int(CALL_SENT, 0));
}

/* Without a socket tm makes no branch: then the last one is another target's. */
static bool is_branch_of(const struct ua_client *branch, const struct observed *observed)
{
	struct ip_addr address;
	uint8_t bytes[16];
	su2ip_addr(&address, (union sockaddr_union *)&branch->request.dst.to);
	place_address_bytes(&address, bytes);
	return su_getport(&branch->request.dst.to) == observed->slot.key.port &&
	       memcmp(bytes, observed->slot.key.address, sizeof(bytes)) == 0;
}

/*
 * Asked again with no outcome in between: t_relay_to() did not send. Over TCP that is a connection that the target
 * refused; a datagram that could not be sent is more often our own fault, so one is not enough.
 */
static void blame_last(const struct cell *cell)
{
	const struct observed *observed = last_target();
	if (!cell || !observed || cell->nr_of_outgoings <= 0)
		return;
	const struct ua_client *branch = &cell->uac[cell->nr_of_outgoings - 1];
	if (branch->icode != DELIVERY_FAILED || !is_branch_of(branch, observed))
		return;
	observed_event(last_target(), branch->request.dst.proto == PROTO_UDP ? HEALTH_CALL_FAILED : HEALTH_CALL_REFUSED,
		       "error at sending");
}

static void note_sent(const struct place *place, const struct topology_settings *settings)
{
	struct observed *observed = observed_at(place->target);
	if (!observed)
		return;
	observed_claim(observed, settings);
	__atomic_store_n(&observed->asked_ms, site_clock_ms(), __ATOMIC_RELAXED);
	__atomic_fetch_add(&observed->calls, 1, __ATOMIC_RELAXED);
}

/* The called user at this peer. */
static int write_request_uri(struct sip_msg *msg, const struct place *place)
{
	char text[URI_MAX], address[IP_ADDR_MAX_STRZ_SIZE];
	str user = call_state_str(CALL_USER), end = call_state_str(CALL_USER_END);
	if (user.len == 0)
		return 0;
	ip_addr2sbufz((struct ip_addr *)&place->address, address, sizeof(address));
	int length =
		snprintf(text, sizeof(text), "sip:%.*s@%s:%u%.*s", STR_FMT(&user), address, place->port, STR_FMT(&end));
	str uri = {.s = text, .len = length};
	return length < (int)sizeof(text) && rewrite_uri(msg, &uri) >= 0 ? 0 : -ENOMEM;
}

static bool aim(struct sip_msg *msg, const struct place *place)
{
	if (hop_aim(msg, place) == 0 && write_request_uri(msg, place) == 0)
		return true;
	give_back();
	return false;
}

int choice_request_flag(struct sip_msg *msg, int flag)
{
	const struct cell *cell = cell_now();
	return cell && cell->uas.request && cell->uas.request->flags & (1U << flag) ? 1 : -1;
}

int choice_next(struct sip_msg *msg)
{
	struct topology_settings settings;
	struct place place;
	const struct cell *cell = cell_now();
	if (cell && cell->flags & T_CANCELED) {
		none_left(msg);
		return -2;
	}
	blame_last(cell);
	give_back();
	int tried = call_state_int(CALL_TRIED, 0);
	do {
		if (site_settings(&settings) || !may_try(&settings, tried) || !next_place(&place)) {
			site_count(calls_without_peer);
			return none_left(msg);
		}
	} while (!aim(msg, &place));
	if (tried)
		site_count(calls_failed_over);
	call_state_set_int(CALL_TRIED, tried + 1);
	call_state_set_int(CALL_SENT, (int)place.target);
	call_state_set_int(CALL_OUT, (int)place.peer);
	call_state_set_str(CALL_OUT_GROUP, str_of(place.group));
	open_call(msg);
	note_sent(&place, &settings);
	set_limits(msg, &settings);
	drop_replies(msg, true);
	return 1;
}

/* ------- site_retry ------- */

/* What befell a call, or NULL: its answer is for the caller. */
static const char *failure_of(const struct ua_client *branch, char text[OBSERVED_REASON_MAX])
{
	if (branch->request.flags & F_RB_TIMEOUT)
		return branch->request.flags & F_RB_REPLIED ? "nothing above 100" : "no answer";
	if (!health_status_fails(branch->last_received))
		return NULL;
	snprintf(text, OBSERVED_REASON_MAX, "%d received", branch->last_received);
	return text;
}

static void note_heard(struct observed *observed)
{
	if (observed)
		__atomic_store_n(&observed->heard_ms, site_clock_ms(), __ATOMIC_RELAXED);
}

static bool may_retry(const struct cell *cell)
{
	/* the last branch is the one that just failed: what tm picked may be an earlier one */
	const struct ua_client *branch = &cell->uac[cell->nr_of_outgoings - 1];
	char text[OBSERVED_REASON_MAX];
	const char *failure = failure_of(branch, text);
	struct observed *observed = last_target();
	call_state_set_int(CALL_SENT, 0);
	give_back();
	note_heard(observed);
	if (cell->flags & T_CANCELED)
		return false;
	/* somebody's phone rang: that was this call's word on the target, and nobody else's may ring for it */
	if (cell->uas.status > 100)
		return false;
	if (!failure) {
		observed_event(observed, HEALTH_CALL_OK, "");
		return false;
	}
	if (observed)
		__atomic_fetch_add(&observed->calls_failed, 1, __ATOMIC_RELAXED);
	observed_event(observed, HEALTH_CALL_FAILED, failure);
	return true;
}

int choice_retry(struct sip_msg *msg)
{
	struct cell *cell = site_state.tm.t_gett();
	if (!is_route_type(FAILURE_ROUTE) || !cell || cell == T_UNDEFINED || cell->nr_of_outgoings <= 0)
		return -1;
	if (may_retry(cell))
		return 1;
	close_call();
	lift_limits(msg);
	return -1;
}

/* ------- what tm tells us of the call ------- */

/*
 * A response above 100 is on its way to the caller. tm holds the reply lock and looks at the two limits after us, so
 * a timer that fires now either comes before (then this branch is abandoned and its response is not forwarded) or
 * sees the new ones. Parallel branches do not exist here.
 */
static void lift_on_progress(struct cell *cell, int status)
{
	int branch = site_state.tm.t_gett_branch();
	if (status >= 200 || branch < 0 || branch >= cell->nr_of_outgoings)
		return;
	cell->fr_inv_timeout = MS_TO_TICKS((ticks_t)site_state.parameters.ringing_limit);
	cell->fr_timeout = MS_TO_TICKS((ticks_t)FINAL_LIMIT);
	restart_rb_fr(&cell->uac[branch].request, cell->fr_inv_timeout);
	cell->uac[branch].request.flags |= F_RB_FR_INV;
}

/* The call has its place as a live one now. */
static void on_answered(struct cell *cell, struct sip_msg *response)
{
	struct dialog sent = {
		.direction = (enum direction)call_state_int(CALL_DIRECTION, TO_SERVICE),
		.ingress = (uint32_t)call_state_int(CALL_IN, TOPOLOGY_NONE),
		.egress = (uint32_t)call_state_int(CALL_OUT, TOPOLOGY_NONE),
		.invite = (uint32_t)call_state_int(CALL_INVITE, 0),
	};
	struct dialog dialog;
	/* the answer's own token, as the BYE will have it; without one no BYE would come by, and of another INVITE it
	 * says nothing of this call
	 */
	if (response && response != FAKED_REPLY && dialog_route_of_response(response, &sent, &dialog) == 0)
		calls_begin(dialog.invite == sent.invite ? &dialog : &sent, cell, site_state.tm.t_gett_branch(),
			    response);
	give_back();
	close_call();
}

static void on_forwarded(struct cell *cell, struct tmcb_params *event)
{
	int status = event->code;
	if (status <= 100 || status >= 300)
		return;
	lift_on_progress(cell, status);
	/* the 200 of a call that rang says nothing about how new calls fare */
	bool first = cell->uas.status <= 100;
	if (!first && status < 200)
		return;
	struct call_state_scope scope = call_state_enter(cell);
	struct observed *observed = last_target();
	if (status >= 200)
		on_answered(cell, event->rpl);
	call_state_leave(scope);
	if (first)
		observed_event(observed, HEALTH_CALL_OK, "");
}

/* Any response, 100 too: the target owes this call nothing that a lost connection takes along. */
static void on_response(struct cell *cell)
{
	int branch = site_state.tm.t_gett_branch();
	if (branch < 0 || branch != cell->nr_of_outgoings - 1)
		return;
	struct call_state_scope scope = call_state_enter(cell);
	note_heard(last_target());
	call_state_leave(scope);
}

/*
 * A call that ended in none of the usual ways. Nobody else has the transaction any more and tm has made its XAVPs
 * current, so no lock: when Kamailio stops, a process that was killed may hold it for ever.
 */
static void on_destroyed(struct cell *cell)
{
	give_back();
	close_call();
	late_answer_forget(cell);
}

static void on_transaction(struct cell *cell, int type, struct tmcb_params *event)
{
	if (type & TMCB_RESPONSE_IN)
		on_response(cell);
	if (type & TMCB_RESPONSE_FWDED)
		on_forwarded(cell, event);
	if (type & TMCB_DESTROY)
		on_destroyed(cell);
}

bool choice_watches(const struct cell *cell)
{
	for (const volatile struct tm_callback *row = cell->tmcb_hl.first; row; row = row->next)
		if (row->callback == on_transaction)
			return true;
	return false;
}

static void watch_answers(struct sip_msg *msg)
{
	/* chosen for before: tm knows already */
	if (msg->REQ_METHOD != METHOD_INVITE || call_state_has(CALL_END))
		return;
	site_state.tm.register_tmcb(msg, NULL, TMCB_RESPONSE_IN | TMCB_RESPONSE_FWDED | TMCB_DESTROY, on_transaction,
				    NULL, NULL);
}
