/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Kamailio module `srtp_policy`: no SDP passes that breaks the media policy of the peer group it comes from or goes to.
 *
 *   loadmodule "srtp_policy.so"    # after tm, sl, rr, provisioning and site_failover
 *   if (srtp_policy_check("sender")) ...
 */
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include <core/data_lump_rpl.h>
#include <core/dprint.h>
#include <core/kemi.h>
#include <core/mod_fix.h>
#include <core/pvar.h>
#include <core/route.h>
#include <core/sr_module.h>
#include <core/timer.h>

#include "decision.h"
#include "glue.h"
#include "kamailio_compat.h"
#include "message_sdp.h"
#include "party.h"
#include "relay.h"
#include "state.h"

MODULE_VERSION

enum { LINE_MAX_LENGTH = SDP_TEXT_MAX + 64, SWEEP_S = 60 };

struct policy_state policy_state = {.retry_after = 10, .sdp_memory = 16384};

/* rtpengine's words for the message in hand */
static char words[RELAY_WORDS_MAX];

/* ------- parameters ------- */

static char *sdes_words = "no";

static param_export_t parameters[] = {
	{.name = "sdes_words", .type = PARAM_STRING, .param_pointer = &sdes_words},
	{.name = "sdp_memory", .type = PARAM_INT, .param_pointer = &policy_state.sdp_memory},
	{.name = "retry_after", .type = PARAM_INT, .param_pointer = &policy_state.retry_after},
	{},
};

static int read_parameters(void)
{
	bool only = strcasecmp(sdes_words, "only") == 0;

	policy_state.words = only ? SDES_ONLY : SDES_NO;
	if ((!only && strcasecmp(sdes_words, "no")) || policy_state.retry_after < 0 || policy_state.sdp_memory < 0) {
		LM_ERR("sdes_words must be \"no\" or \"only\", retry_after and sdp_memory at least 0\n");
		return -1;
	}
	return 0;
}

/* ------- functions ------- */

static int ki_srtp_policy_check(struct sip_msg *msg, str *side)
{
	struct span name = span_of_str(side);

	if (span_equal(name, SPAN_LIT("sender")))
		return decision_of_sender(msg, false);
	if (span_equal(name, SPAN_LIT("answerer")))
		return decision_of_sender(msg, true);
	if (span_equal(name, SPAN_LIT("receiver")))
		return decision_of_receiver(msg);
	LM_ERR("srtp_policy_check(): a side is \"sender\", \"answerer\" or \"receiver\"\n");
	return -1;
}

static int ki_srtp_policy_flags(struct sip_msg *msg, str *verb)
{
	struct parties parties;
	bool offer = span_equal(span_of_str(verb), SPAN_LIT("offer"));

	words[0] = '\0';
	if (!offer && !span_equal(span_of_str(verb), SPAN_LIT("answer"))) {
		LM_ERR("srtp_policy_flags(): \"offer\" or \"answer\"\n");
		return -1;
	}
	if (parties_again(msg, &parties))
		return -1;
	bool labelled = !offer && parties_may_choose(&parties);
	struct media_label label = {};
	if (labelled)
		label = decision_label(msg, &parties);
	relay_words(&parties, parties.from_caller, offer ? RTPENGINE_OFFER : RTPENGINE_ANSWER, labelled ? &label : NULL,
		    words);
	return 1;
}

static size_t refusal_headers(const struct decision *decision, char text[LINE_MAX_LENGTH])
{
	int length = 0;

	if (decision->warning[0])
		length = snprintf(text, LINE_MAX_LENGTH, "Warning: %s\r\n", decision->warning);
	else if (decision->code == 503)
		length = snprintf(text, LINE_MAX_LENGTH, "Retry-After: %d\r\n", policy_state.retry_after);
	return length > 0 && length < LINE_MAX_LENGTH ? (size_t)length : 0;
}

static int refuse_request(struct sip_msg *msg, const struct decision *decision)
{
	char line[LINE_MAX_LENGTH];
	size_t length = refusal_headers(decision, line);
	str reason = str_of(decision->reason);

	if (length && !add_lump_rpl2(msg, line, (int)length, LUMP_RPL_HDR))
		LM_ERR("no memory for a header\n");
	if (policy_state.sl.freply(msg, decision->code, &reason) < 0)
		LM_ERR("%d for call %.*s was not sent\n", decision->code, STR_FMT(&msg->callid->body));
	return 1;
}

/* A script may drop the reply after it: tm would take its transaction for that of the next message. */
static void leave_transaction(struct sip_msg *msg)
{
	if (get_route_type() == CORE_ONREPLY_ROUTE)
		policy_state.tm.t_unref(msg);
}

static int refuse_answer(struct sip_msg *msg, const struct decision *decision)
{
	char line[LINE_MAX_LENGTH];
	str headers = {.s = line, .len = (int)refusal_headers(decision, line)};
	str reason = str_of(decision->reason);

	int refused = policy_state.site.refuse_answer(msg, decision->code, &reason, &headers);
	leave_transaction(msg);
	if (refused < 0)
		return 2;
	policy_count(answers_refused);
	return refused == 1 ? 1 : 3;
}

static int ki_srtp_policy_refuse(struct sip_msg *msg)
{
	const struct decision *decision = decision_read(msg);

	if (decision->code == 503)
		policy_count(no_relay);
	if (msg->first_line.type == SIP_REQUEST && msg->REQ_METHOD != METHOD_ACK)
		return refuse_request(msg, decision);
	if (msg->first_line.type == SIP_REPLY && msg->REPLY_STATUS >= 200 && msg->REPLY_STATUS < 300)
		return refuse_answer(msg, decision);
	/* nobody can refuse an ACK or a provisional; without its SDP no media comes of it */
	if (msg->first_line.type == SIP_REPLY)
		answer_mark_refused(msg);
	return message_strip(msg) ? 1 : -1;
}

static int restored(int result)
{
	if (result == 0)
		policy_count(restored);
	else if (result != -ENOENT)
		policy_count(not_restored);
	return result == 0 ? 1 : result == -ENOENT ? 2 : -1;
}

static int ki_srtp_policy_restore(struct sip_msg *msg)
{
	bool may_wait = get_route_type() != FAILURE_ROUTE;
	int result = may_wait ? relay_restore(msg) : relay_restore_later(msg);

	leave_transaction(msg);
	return !may_wait && result == 0 ? 1 : restored(result);
}

static int ki_srtp_policy_waiting(struct sip_msg *msg)
{
	for (int result = relay_restore_next(); result != -ENOENT; result = relay_restore_next())
		restored(result);
	while (relay_delete_next() == 0) {
	}
	return 1;
}

static int end_media(struct sip_msg *msg)
{
	struct agreement_id id;
	bool by_caller;

	if (media_dialog(msg, &id))
		return -1;
	if (!policy_state.site.media_over(msg))
		return 2;
	/* of an offer in an early dialog's UPDATE neither the INVITE nor a BYE knows */
	if (agreement_forget(&id, &by_caller) == 0)
		media_begins(msg, by_caller);
	if (!media_may_be_relayed(msg) || relay_delete_later(msg) == 0)
		return 1;
	LM_WARN("call %.*s is left to rtpengine's own timeout\n", STR_FMT(&msg->callid->body));
	return -1;
}

static int ki_srtp_policy_end(struct sip_msg *msg)
{
	int result = end_media(msg);

	leave_transaction(msg);
	return result;
}

static int w_srtp_policy_restore(struct sip_msg *msg, char *unused1, char *unused2)
{
	return ki_srtp_policy_restore(msg);
}

static int w_srtp_policy_waiting(struct sip_msg *msg, char *unused1, char *unused2)
{
	return ki_srtp_policy_waiting(msg);
}

static int w_srtp_policy_end(struct sip_msg *msg, char *unused1, char *unused2)
{
	return ki_srtp_policy_end(msg);
}

static int w_srtp_policy_check(struct sip_msg *msg, char *side, char *unused)
{
	str text;

	return get_str_fparam(&text, msg, (fparam_t *)side) ? -1 : ki_srtp_policy_check(msg, &text);
}

static int w_srtp_policy_flags(struct sip_msg *msg, char *verb, char *unused)
{
	str text;

	return get_str_fparam(&text, msg, (fparam_t *)verb) ? -1 : ki_srtp_policy_flags(msg, &text);
}

static int w_srtp_policy_refuse(struct sip_msg *msg, char *unused1, char *unused2)
{
	return ki_srtp_policy_refuse(msg);
}

#define MEDIA_ROUTES (REQUEST_ROUTE | CORE_ONREPLY_ROUTE)

static cmd_export_t functions[] = {
	{.name = "srtp_policy_check",
	 .function = w_srtp_policy_check,
	 .param_no = 1,
	 .fixup = fixup_spve_null,
	 .flags = MEDIA_ROUTES},
	{.name = "srtp_policy_flags",
	 .function = w_srtp_policy_flags,
	 .param_no = 1,
	 .fixup = fixup_spve_null,
	 .flags = MEDIA_ROUTES},
	{.name = "srtp_policy_refuse", .function = w_srtp_policy_refuse, .flags = MEDIA_ROUTES},
	{.name = "srtp_policy_restore", .function = w_srtp_policy_restore, .flags = MEDIA_ROUTES | FAILURE_ROUTE},
	{.name = "srtp_policy_waiting", .function = w_srtp_policy_waiting, .flags = REQUEST_ROUTE},
	{.name = "srtp_policy_end",
	 .function = w_srtp_policy_end,
	 .flags = MEDIA_ROUTES | FAILURE_ROUTE | TM_ONREPLY_ROUTE},
	{},
};

/* ------- pseudo-variables ------- */

enum { VARIABLE_FLAGS, VARIABLE_TAG, VARIABLE_CODE, VARIABLE_REASON, VARIABLE_WARNING };

static const char *const variable_names[] = {
	[VARIABLE_FLAGS] = "flags",   [VARIABLE_TAG] = "tag",         [VARIABLE_CODE] = "code",
	[VARIABLE_REASON] = "reason", [VARIABLE_WARNING] = "warning",
};

static int parse_variable(pv_spec_t *spec, str *name)
{
	for (int i = 0; i <= VARIABLE_WARNING; i++) {
		if (!span_equal(span_of(variable_names[i]), span_of_str(name)))
			continue;
		spec->pvp.pvn.type = PV_NAME_INTSTR;
		spec->pvp.pvn.u.isname.type = 0;
		spec->pvp.pvn.u.isname.name.n = i;
		return 0;
	}
	LM_ERR("there is no $srtp_policy(%.*s)\n", STR_FMT(name));
	return -1;
}

static int get_tag(struct sip_msg *msg, pv_param_t *param, pv_value_t *value)
{
	static char tag[MEDIA_TAG_LENGTH + 1];

	int result = media_tag(msg, media_begun_by_caller(msg), tag);

	leave_transaction(msg);
	return result ? pv_get_null(msg, param, value) : pv_get_strzval(msg, param, value, tag);
}

static int get_variable(struct sip_msg *msg, pv_param_t *param, pv_value_t *value)
{
	const struct decision *decision = decision_read(msg);

	switch (param->pvn.u.isname.name.n) {
	case VARIABLE_FLAGS:
		return pv_get_strzval(msg, param, value, words);
	case VARIABLE_TAG:
		return get_tag(msg, param, value);
	case VARIABLE_CODE:
		return pv_get_sintval(msg, param, value, decision->code);
	case VARIABLE_REASON:
		return pv_get_strzval(msg, param, value, (char *)decision->reason);
	default:
		return pv_get_strzval(msg, param, value, (char *)decision->warning);
	}
}

/* Written by rtpengine's module when relay_recall() asks. */
static int set_query(struct sip_msg *msg, pv_param_t *param, int operation, pv_value_t *value)
{
	if (value && value->flags & PV_VAL_STR)
		relay_query_take(span_of_str(&value->rs));
	return 0;
}

static pv_export_t variables[] = {
	{.name = STR_STATIC_INIT("srtp_policy"), .type = PVT_OTHER, .getf = get_variable, .parse_name = parse_variable},
	{.name = STR_STATIC_INIT("srtp_policy_query"), .type = PVT_OTHER, .getf = pv_get_null, .setf = set_query},
	{},
};

/* ------- KEMI ------- */

static sr_kemi_t kemi[] = {
	{.mname = STR_STATIC_INIT("srtp_policy"),
	 .fname = STR_STATIC_INIT("srtp_policy_check"),
	 .rtype = SR_KEMIP_INT,
	 .func = ki_srtp_policy_check,
	 .ptypes = {SR_KEMIP_STR}},
	{.mname = STR_STATIC_INIT("srtp_policy"),
	 .fname = STR_STATIC_INIT("srtp_policy_flags"),
	 .rtype = SR_KEMIP_INT,
	 .func = ki_srtp_policy_flags,
	 .ptypes = {SR_KEMIP_STR}},
	{.mname = STR_STATIC_INIT("srtp_policy"),
	 .fname = STR_STATIC_INIT("srtp_policy_refuse"),
	 .rtype = SR_KEMIP_INT,
	 .func = ki_srtp_policy_refuse},
	{.mname = STR_STATIC_INIT("srtp_policy"),
	 .fname = STR_STATIC_INIT("srtp_policy_restore"),
	 .rtype = SR_KEMIP_INT,
	 .func = ki_srtp_policy_restore},
	{.mname = STR_STATIC_INIT("srtp_policy"),
	 .fname = STR_STATIC_INIT("srtp_policy_waiting"),
	 .rtype = SR_KEMIP_INT,
	 .func = ki_srtp_policy_waiting},
	{.mname = STR_STATIC_INIT("srtp_policy"),
	 .fname = STR_STATIC_INIT("srtp_policy_end"),
	 .rtype = SR_KEMIP_INT,
	 .func = ki_srtp_policy_end},
	{},
};

int mod_register(char *path, int *flags, void *reserved1, void *reserved2)
{
	sr_kemi_modules_add(kemi);
	return 0;
}

/* ------- counters ------- */

static stat_export_t counters[] = {
	{"checked", 0, &policy_state.counters.checked},
	{"refused_unreadable", 0, &policy_state.counters.refused[SDP_UNREADABLE]},
	{"refused_too_many_sections", 0, &policy_state.counters.refused[SDP_TOO_MANY_SECTIONS]},
	{"refused_plain", 0, &policy_state.counters.refused[SDP_PLAIN]},
	{"refused_secured", 0, &policy_state.counters.refused[SDP_SECURED]},
	{"refused_no_key", 0, &policy_state.counters.refused[SDP_NO_KEY]},
	{"refused_suite", 0, &policy_state.counters.refused[SDP_NO_ALLOWED_SUITE]},
	{"refused_no_fingerprint", 0, &policy_state.counters.refused[SDP_NO_FINGERPRINT]},
	{"refused_profile", 0, &policy_state.counters.refused[SDP_NO_ALLOWED_PROFILE]},
	{"refused_address", 0, &policy_state.counters.foreign_address},
	{"refused_no_relay", 0, &policy_state.counters.no_relay},
	{"answers_refused", 0, &policy_state.counters.answers_refused},
	{"restored", 0, &policy_state.counters.restored},
	{"not_restored", 0, &policy_state.counters.not_restored},
	{"recalled", 0, &policy_state.counters.recalled},
	{},
};

/* ------- exports ------- */

static void sweep(unsigned ticks, void *unused)
{
	agreements_sweep();
}

static int mod_init(void)
{
	if (read_parameters() < 0 || provisioning_bind(&policy_state.provisioning) < 0 ||
	    site_failover_bind(&policy_state.site) < 0)
		return -1;
	if (load_tm_api(&policy_state.tm) < 0 || sl_load_api(&policy_state.sl) < 0) {
		LM_ERR("load tm and sl before this module\n");
		return -1;
	}
	if (agreements_init((size_t)policy_state.sdp_memory * 1024) || relay_init()) {
		LM_ERR("no shared memory\n");
		return -1;
	}
	if (register_timer(sweep, NULL, SWEEP_S) < 0)
		return -1;
	return register_module_stats("srtp_policy", counters) ? -1 : 0;
}

static void finish(void)
{
	relay_finish();
	agreements_finish();
}

struct module_exports exports = {
	.name = "srtp_policy",
	.dlflags = DEFAULT_DLFLAGS,
	.cmds = functions,
	.params = parameters,
	.pv_items = variables,
	.init_mod_f = mod_init,
	.destroy_mod_f = finish,
};
