/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The Kamailio module site_failover: who sends, which peer gets the call, which one after it, and who is alive.
 *
 *   loadmodule "site_failover.so"    # after tm, rr and provisioning
 */
#include <limits.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <core/dprint.h>
#include <core/flags.h>
#include <core/kemi.h>
#include <core/mod_fix.h>
#include <core/sr_module.h>

#include "calls.h"
#include "late_branch.h"
#include "load.h"
#include "node.h"
#include "prober.h"
#include "script.h"
#include "state.h"
#include "statistics.h"
#include "tls_errors.h"
#include "observed.h"

MODULE_VERSION

struct site_state site_state = {
	.parameters = {.ringing_limit = 180000,
		       .late_limit = 200,
		       .late_max = 50000,
		       .targets_max = 1024,
		       .retry_interval = 30000,
		       .calls_max = 100000,
		       .audit_interval = 600,
		       .unasked_limit = 43200,
		       .statistics_max = 64},
};

int site_settings(struct topology_settings *settings)
{
	struct topology_view view;
	int result;
	do {
		result = topology_open(site_state.provisioning.region, &view);
		if (result == 0)
			result = topology_settings(&view, settings);
		if (result)
			return result;
	} while (!topology_current(&view));
	settings->custom_header = (struct span){};
	return 0;
}

uint64_t site_clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t site_clock_ms(void)
{
	return site_clock_us() / 1000;
}

/* ------- parameters ------- */

static param_export_t parameters[] = {
	{.name = "ringing_limit", .type = PARAM_INT, .param_pointer = &site_state.parameters.ringing_limit},
	{.name = "late_limit", .type = PARAM_INT, .param_pointer = &site_state.parameters.late_limit},
	{.name = "late_max", .type = PARAM_INT, .param_pointer = &site_state.parameters.late_max},
	{.name = "targets_max", .type = PARAM_INT, .param_pointer = &site_state.parameters.targets_max},
	{.name = "calls_max", .type = PARAM_INT, .param_pointer = &site_state.parameters.calls_max},
	{.name = "audit_interval", .type = PARAM_INT, .param_pointer = &site_state.parameters.audit_interval},
	{.name = "unasked_limit", .type = PARAM_INT, .param_pointer = &site_state.parameters.unasked_limit},
	{.name = "statistics_max", .type = PARAM_INT, .param_pointer = &site_state.parameters.statistics_max},
	{.name = "late_answer", .type = PARAM_STRING, .param_pointer = &site_state.parameters.late_answer},
	{.name = "event_callback", .type = PARAM_STRING, .param_pointer = &site_state.parameters.event_callback},
	{.name = "retry_interval", .type = PARAM_INT, .param_pointer = &site_state.parameters.retry_interval},
	{},
};

static int check_late_answer(void)
{
	const char *text = site_state.parameters.late_answer;
	site_state.parameters.take_late = text && strcmp(text, "take") == 0;
	if (!text || site_state.parameters.take_late || strcmp(text, "end") == 0)
		return 0;
	LM_ERR("late_answer must be \"end\" or \"take\"\n");
	return -1;
}

static int check_parameters(void)
{
	const struct site_parameters *given = &site_state.parameters;
	static const struct {
		const char *name;
		size_t offset;
		int least, most;
	} limits[] = {
		{"ringing_limit", offsetof(struct site_parameters, ringing_limit), 1000, 600000},
		{"late_limit", offsetof(struct site_parameters, late_limit), 32, 3600},
		{"late_max", offsetof(struct site_parameters, late_max), 1, INT_MAX},
		{"targets_max", offsetof(struct site_parameters, targets_max), 16, 65535},
		{"calls_max", offsetof(struct site_parameters, calls_max), 0, INT_MAX},
		{"audit_interval", offsetof(struct site_parameters, audit_interval), 0, 86400},
		{"unasked_limit", offsetof(struct site_parameters, unasked_limit), 0, 604800},
		{"statistics_max", offsetof(struct site_parameters, statistics_max), 0, 1024},
		{"retry_interval", offsetof(struct site_parameters, retry_interval), 100, 3600000},
		{},
	};
	for (size_t i = 0; limits[i].name; i++) {
		int value = *(const int *)((const char *)given + limits[i].offset);
		if (value >= limits[i].least && value <= limits[i].most)
			continue;
		LM_ERR("%s must be %d to %d\n", limits[i].name, limits[i].least, limits[i].most);
		return -1;
	}
	return 0;
}

/* ------- functions ------- */

static int w_identify(struct sip_msg *msg, char *a, char *b)
{
	return sender_identify(msg);
}

static int w_service(struct sip_msg *msg, char *service, char *b)
{
	str name;
	return get_str_fparam(&name, msg, (fparam_t *)service) ? -1 : choice_service(msg, &name);
}

static int w_select(struct sip_msg *msg, char *group, char *b)
{
	str name;
	return get_str_fparam(&name, msg, (fparam_t *)group) ? -1 : choice_select(msg, &name);
}

static int w_emergency(struct sip_msg *msg, char *a, char *b)
{
	return choice_emergency(msg);
}

static int w_admits(struct sip_msg *msg, char *a, char *b)
{
	return choice_admits(msg);
}

static int ki_request_flag(struct sip_msg *msg, int flag)
{
	return flag_in_range(flag) ? choice_request_flag(msg, flag) : -1;
}

static int w_request_flag(struct sip_msg *msg, char *flag, char *b)
{
	int number;
	return get_int_fparam(&number, msg, (fparam_t *)flag) ? -1 : ki_request_flag(msg, number);
}

static int w_next(struct sip_msg *msg, char *a, char *b)
{
	return choice_next(msg);
}

static int w_retry(struct sip_msg *msg, char *a, char *b)
{
	return choice_retry(msg);
}

static int w_record_route(struct sip_msg *msg, char *a, char *b)
{
	return dialog_route_record(msg);
}

static int w_dialog(struct sip_msg *msg, char *a, char *b)
{
	return dialog_route_follow(msg);
}

static int w_answer_dialog(struct sip_msg *msg, char *a, char *b)
{
	return dialog_route_answers(msg);
}

static int w_known_hop(struct sip_msg *msg, char *a, char *b)
{
	return hop_known(msg);
}

static int w_late_answer(struct sip_msg *msg, char *a, char *b)
{
	return late_answer_end(msg);
}

static int ki_refuse_answer(struct sip_msg *msg, int code, str *reason)
{
	str none = {};
	return late_answer_refuse(msg, code, reason, &none);
}

static int w_refuse_answer(struct sip_msg *msg, char *code, char *reason)
{
	int status;
	str text;
	if (get_int_fparam(&status, msg, (fparam_t *)code) || get_str_fparam(&text, msg, (fparam_t *)reason))
		return -1;
	return ki_refuse_answer(msg, status, &text);
}

static int w_end_dialog(struct sip_msg *msg, char *code, char *reason)
{
	int status;
	str text;
	if (get_int_fparam(&status, msg, (fparam_t *)code) || get_str_fparam(&text, msg, (fparam_t *)reason))
		return -1;
	return late_answer_end_dialog(msg, status, &text);
}

static int fix_refuse(void **param, int number)
{
	return number == 1 ? fixup_igp_null(param, 1) : fixup_spve_null(param, 1);
}

static cmd_export_t functions[] = {
	{.name = "site_identify", .function = w_identify, .flags = ANY_ROUTE},
	{.name = "site_service",
	 .function = w_service,
	 .param_no = 1,
	 .fixup = fixup_spve_null,
	 .flags = REQUEST_ROUTE},
	{.name = "site_select", .function = w_select, .param_no = 1, .fixup = fixup_spve_null, .flags = REQUEST_ROUTE},
	{.name = "site_emergency", .function = w_emergency, .flags = REQUEST_ROUTE},
	{.name = "site_admits", .function = w_admits, .flags = REQUEST_ROUTE},
	{.name = "site_request_flag",
	 .function = w_request_flag,
	 .param_no = 1,
	 .fixup = fixup_igp_null,
	 .flags = REQUEST_ROUTE | CORE_ONREPLY_ROUTE}, /* called by a route[] */
	{.name = "site_next", .function = w_next, .flags = REQUEST_ROUTE | FAILURE_ROUTE},
	{.name = "site_retry", .function = w_retry, .flags = FAILURE_ROUTE},
	{.name = "site_record_route", .function = w_record_route, .flags = REQUEST_ROUTE | BRANCH_ROUTE},
	{.name = "site_dialog", .function = w_dialog, .flags = REQUEST_ROUTE},
	{.name = "site_known_hop", .function = w_known_hop, .flags = REQUEST_ROUTE},
	{.name = "site_answer_dialog", .function = w_answer_dialog, .flags = CORE_ONREPLY_ROUTE},
	{.name = "site_late_answer", .function = w_late_answer, .flags = CORE_ONREPLY_ROUTE},
	{.name = "site_refuse_answer",
	 .function = w_refuse_answer,
	 .param_no = 2,
	 .fixup = fix_refuse,
	 .flags = CORE_ONREPLY_ROUTE},
	{.name = "site_end_dialog",
	 .function = w_end_dialog,
	 .param_no = 2,
	 .fixup = fix_refuse,
	 .flags = REQUEST_ROUTE},
	{.name = "bind_site_failover", .function = (cmd_function)bind_site_failover, .param_no = NO_SCRIPT},
	{},
};

/* ------- pseudo-variables ------- */

static pv_export_t variables[] = {
	{.name = STR_STATIC_INIT("site"), .type = PVT_OTHER, .getf = variable_get, .parse_name = variable_parse},
	{},
};

/* ------- KEMI ------- */

static sr_kemi_t kemi_functions[] = {
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_identify"),
	 .rtype = SR_KEMIP_INT,
	 .func = sender_identify},
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_service"),
	 .rtype = SR_KEMIP_INT,
	 .func = choice_service,
	 .ptypes = {SR_KEMIP_STR}},
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_select"),
	 .rtype = SR_KEMIP_INT,
	 .func = choice_select,
	 .ptypes = {SR_KEMIP_STR}},
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_emergency"),
	 .rtype = SR_KEMIP_INT,
	 .func = choice_emergency},
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_admits"),
	 .rtype = SR_KEMIP_INT,
	 .func = choice_admits},
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_request_flag"),
	 .rtype = SR_KEMIP_INT,
	 .func = ki_request_flag,
	 .ptypes = {SR_KEMIP_INT}},
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_next"),
	 .rtype = SR_KEMIP_INT,
	 .func = choice_next},
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_retry"),
	 .rtype = SR_KEMIP_INT,
	 .func = choice_retry},
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_record_route"),
	 .rtype = SR_KEMIP_INT,
	 .func = dialog_route_record},
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_dialog"),
	 .rtype = SR_KEMIP_INT,
	 .func = dialog_route_follow},
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_known_hop"),
	 .rtype = SR_KEMIP_INT,
	 .func = hop_known},
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_answer_dialog"),
	 .rtype = SR_KEMIP_INT,
	 .func = dialog_route_answers},
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_late_answer"),
	 .rtype = SR_KEMIP_INT,
	 .func = late_answer_end},
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_refuse_answer"),
	 .rtype = SR_KEMIP_INT,
	 .func = ki_refuse_answer,
	 .ptypes = {SR_KEMIP_INT, SR_KEMIP_STR}},
	{.mname = str_init("site_failover"),
	 .fname = str_init("site_end_dialog"),
	 .rtype = SR_KEMIP_INT,
	 .func = late_answer_end_dialog,
	 .ptypes = {SR_KEMIP_INT, SR_KEMIP_STR}},
	{},
};

/* ------- counters ------- */

static stat_export_t counters[] = {
	{"calls_failed_over", 0, &site_state.counters.calls_failed_over},
	{"calls_without_peer", 0, &site_state.counters.calls_without_peer},
	{"late_answers", 0, &site_state.counters.late_answers},
	{"late_byes", 0, &site_state.counters.late_byes},
	{"probes_sent", 0, &site_state.counters.probes_sent},
	{"probes_failed", 0, &site_state.counters.probes_failed},
	{"keepalives_sent", 0, &site_state.counters.keepalives_sent},
	{"calls_full", 0, &site_state.counters.calls_full},
	{"calls_emergency", 0, &site_state.counters.calls_emergency},
	{"calls_audited", 0, &site_state.counters.calls_audited},
	{"calls_lost", 0, &site_state.counters.calls_lost},
	{"late_taken", 0, &site_state.counters.late_taken},
	{},
};

/* ------- the module's life ------- */

static int bind_others(void)
{
	if (provisioning_bind(&site_state.provisioning) < 0)
		return -1;
	if (load_tm_api(&site_state.tm) < 0 || load_rr_api(&site_state.rr) < 0) {
		LM_ERR("load tm and rr before this module\n");
		return -1;
	}
	site_state.drop_replies = find_export("t_drop_replies", 1, 0);
	return site_state.drop_replies ? 0 : -1;
}

static int mod_init(void)
{
	site_state.started_ms = site_clock_ms();
	if (check_parameters() || check_late_answer() || bind_others() ||
	    register_module_stats("site_failover", counters) || statistics_register())
		return -1;
	if (node_init() || observed_init() || load_init() || calls_init() || late_branch_init()) {
		LM_ERR("out of shared memory\n");
		return -1;
	}
	tls_errors_init();
	return prober_register() < 0 ? -1 : 0;
}

static int child_init(int rank)
{
	return rank == PROC_MAIN ? prober_start() : 0;
}

static void mod_destroy(void)
{
	late_branch_finish();
	calls_finish();
	load_finish();
	observed_finish();
	node_finish();
}

int mod_register(char *path, int *dlflags, void *p1, void *p2)
{
	sr_kemi_modules_add(kemi_functions);
	return 0;
}

struct module_exports exports = {
	.name = "site_failover",
	.dlflags = DEFAULT_DLFLAGS,
	.cmds = functions,
	.params = parameters,
	.rpc_methods = admin_rpc,
	.pv_items = variables,
	.init_mod_f = mod_init,
	.init_child_f = child_init,
	.destroy_mod_f = mod_destroy,
};
