/* SPDX-License-Identifier: GPL-2.0-or-later */
/** site_service(), site_select(), site_next(), site_retry(): which peer gets the call, and which after it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <core/dprint.h>
#include <core/mem/mem.h>
#include <core/rand/fastrand.h>
#include <modules/tm/timer.h>

#include "call_state.h"
#include "dialog_token.h"
#include "glue.h"
#include "hop.h"
#include "peer_choice.h"
#include "place.h"
#include "script.h"
#include "service.h"
#include "state.h"
#include "observed.h"

enum {
	CANDIDATES_MAX = 64, /* of a group; the list is cut to max_tries afterwards */
	LIST_MAX = 256,
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

static enum health_rank rank_of(uint32_t peer)
{
	struct observed target;
	return observed_get(peer, &target) || target.health.state != HEALTH_DOWN ? HEALTH_RANK_USABLE
										 : HEALTH_RANK_DEAD;
}

static size_t collect(const struct topology_view *view, const struct group_view *group, enum admin_state worst,
		      struct candidate *candidates)
{
	struct peer_view peer;
	size_t count = 0;
	for (uint32_t i = 0; i < group->peer_count && count < CANDIDATES_MAX; i++) {
		if (topology_peer(view, group->first_peer + i, &peer) || peer.admin > worst)
			continue;
		candidates[count++] = (struct candidate){
			.peer = peer.id,
			.priority = peer.priority,
			.weight = peer.weight,
			.rank = rank_of(peer.id),
		};
	}
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
			result = (int)collect(&view, &group, worst, candidates);
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

static int keep_list(const struct candidate *candidates, size_t count)
{
	char list[LIST_MAX];
	size_t length = 0;
	list[0] = '\0';
	for (size_t i = 0; i < count && length + 12 < sizeof(list); i++)
		length += (size_t)snprintf(list + length, sizeof(list) - length, "%s%u", i ? "," : "",
					   candidates[i].peer);
	return call_state_set_str(CALL_CANDIDATES, str_of(list));
}

static void watch_answers(struct sip_msg *msg);

int choice_select(struct sip_msg *msg, str *group)
{
	struct candidate candidates[CANDIDATES_MAX];
	struct topology_settings settings;
	int count = candidates_of(group, ADMIN_AUTO, candidates, &settings);
	if (count < 0)
		return count == -EAGAIN ? -3 : -1;
	if (count == 0) {
		site_count(calls_without_peer);
		return -2;
	}
	peer_choice_order(candidates, (size_t)count, random_bits, NULL);
	if (settings.max_tries && count > settings.max_tries)
		count = settings.max_tries;
	if (keep_list(candidates, (size_t)count) || call_state_set_str(CALL_OUT_GROUP, *group))
		return -1;
	call_state_set_int(CALL_SENT, TOPOLOGY_NONE);
	call_state_set_int(CALL_TRIED, 0);
	watch_answers(msg);
	return 1;
}

/* ------- site_next ------- */

/* Takes the first id off the list; TOPOLOGY_NONE if it is empty. */
static uint32_t take_candidate(void)
{
	char list[LIST_MAX], *rest;
	str kept = call_state_str(CALL_CANDIDATES);
	place_copy_text(list, sizeof(list), span_of_str(&kept));
	unsigned long peer = strtoul(list, &rest, 10);
	if (peer == TOPOLOGY_NONE)
		return TOPOLOGY_NONE;
	if (call_state_set_str(CALL_CANDIDATES, str_of(*rest == ',' ? rest + 1 : rest)))
		return TOPOLOGY_NONE;
	return (uint32_t)peer;
}

static bool next_place(struct place *place)
{
	uint32_t peer;
	while ((peer = take_candidate()) != TOPOLOGY_NONE) {
		if (place_find(peer, place) || place->admin != ADMIN_AUTO)
			continue;
		if (place->has_address)
			return true;
		LM_WARN("peer %s left out: no address known for %s\n", place->name, place->host);
	}
	return false;
}

static void set_limits(struct sip_msg *msg)
{
	struct topology_settings settings;
	if (msg->REQ_METHOD == METHOD_INVITE && site_settings(&settings) == 0)
		site_state.tm.set_fr(msg, settings.progress_limit_ms, settings.silence_limit_ms);
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

static int none_left(struct sip_msg *msg)
{
	call_state_set_int(CALL_SENT, TOPOLOGY_NONE);
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

/* Asked again with no outcome in between: t_relay_to() did not send. Not always that is the peer's fault. */
static void blame_last(const struct cell *cell)
{
	uint32_t peer = (uint32_t)call_state_int(CALL_SENT, TOPOLOGY_NONE);
	if (peer != TOPOLOGY_NONE && cell && cell->nr_of_outgoings > 0 &&
	    cell->uac[cell->nr_of_outgoings - 1].icode == DELIVERY_FAILED)
		observed_event(peer, HEALTH_CALL_REFUSED, "error at sending");
}

int choice_next(struct sip_msg *msg)
{
	struct place place;
	const struct cell *cell = cell_now();
	if (cell && cell->flags & T_CANCELED) {
		none_left(msg);
		return -2;
	}
	blame_last(cell);
	do {
		if (!next_place(&place)) {
			site_count(calls_without_peer);
			return none_left(msg);
		}
	} while (hop_aim(msg, &place));
	int tried = call_state_int(CALL_TRIED, 0);
	if (tried)
		site_count(calls_failed_over);
	call_state_set_int(CALL_TRIED, tried + 1);
	call_state_set_int(CALL_SENT, (int)place.peer);
	call_state_set_int(CALL_OUT, (int)place.peer);
	call_state_set_str(CALL_OUT_GROUP, str_of(place.group));
	set_limits(msg);
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

static bool may_retry(const struct cell *cell)
{
	/* the last branch is the one that just failed: what tm picked may be an earlier one */
	const struct ua_client *branch = &cell->uac[cell->nr_of_outgoings - 1];
	char text[OBSERVED_REASON_MAX];
	const char *failure = failure_of(branch, text);
	uint32_t peer = (uint32_t)call_state_int(CALL_SENT, TOPOLOGY_NONE);
	call_state_set_int(CALL_SENT, TOPOLOGY_NONE);
	if (cell->flags & T_CANCELED)
		return false;
	if (!failure) {
		observed_event(peer, HEALTH_CALL_OK, "");
		return false;
	}
	/* somebody's phone rang: that peer works, and nobody else's may ring for this call */
	if (cell->uas.status > 100)
		return false;
	observed_event(peer, HEALTH_CALL_FAILED, failure);
	return true;
}

int choice_retry(struct sip_msg *msg)
{
	struct cell *cell = site_state.tm.t_gett();
	if (!is_route_type(FAILURE_ROUTE) || !cell || cell == T_UNDEFINED || cell->nr_of_outgoings <= 0)
		return -1;
	if (may_retry(cell))
		return 1;
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

static void on_forwarded(struct cell *cell, int status)
{
	if (status <= 100 || status >= 300)
		return;
	lift_on_progress(cell, status);
	struct call_state_scope scope = call_state_enter(cell);
	uint32_t peer = (uint32_t)call_state_int(CALL_SENT, TOPOLOGY_NONE);
	call_state_leave(scope);
	observed_event(peer, HEALTH_CALL_OK, "");
}

static void on_transaction(struct cell *cell, int type, struct tmcb_params *event)
{
	if (type & TMCB_RESPONSE_FWDED)
		on_forwarded(cell, event->code);
	if (type & TMCB_DESTROY)
		late_answer_forget(cell);
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
	if (msg->REQ_METHOD != METHOD_INVITE || call_state_int(CALL_WATCHED, 0))
		return;
	if (site_state.tm.register_tmcb(msg, NULL, TMCB_RESPONSE_FWDED | TMCB_DESTROY, on_transaction, NULL, NULL) > 0)
		call_state_set_int(CALL_WATCHED, 1);
}
