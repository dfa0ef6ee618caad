/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Kamailio module `number_route`: a number to its account, service and custom header.
 *
 *   loadmodule "number_route.so"
 *   number_route("$rU");
 */
#include <errno.h>
#include <string.h>

#include <core/dprint.h>
#include <core/kemi.h>
#include <core/mod_fix.h>
#include <core/pvapi.h>
#include <core/pvar.h>
#include <core/sr_module.h>

#include "call_state.h"
#include "glue.h"
#include "kamailio_compat.h"
#include "number.h"
#include "number_table.h"
#include "provisioning_api.h"
#include "service.h"
#include "topology.h"
#include "user.h"

MODULE_VERSION

static struct provisioning_api provisioning;

/* What number_route() returns to the script. */
enum { FOUND = 1, NOT_PROVISIONED = -1, NOT_A_NUMBER = -2, NOT_PUBLISHED = -3 };

static const char *service_name(uint16_t id)
{
	const struct service *service = service_by_id(id);

	return service ? service->name : "";
}

static int number_find(struct span text, struct attribute_set *set)
{
	uint64_t e164;

	if (number_parse(text, &e164) != 0)
		return NOT_A_NUMBER;
	switch (number_table_find(provisioning.region, e164, set)) {
	case 0:
		return FOUND;
	case -ENOENT:
		return NOT_PROVISIONED;
	default:
		return NOT_PUBLISHED;
	}
}

static bool numbers_masked(void)
{
	struct topology_settings settings;
	struct topology_view view;

	do {
		if (topology_open(provisioning.region, &view) != 0 || topology_settings(&view, &settings) != 0)
			return true;
	} while (!topology_current(&view));
	return settings.mask_numbers;
}

static void not_provisioned_log(struct span number)
{
	char text[NUMBER_TEXT_SIZE];
	uint64_t e164;

	if (!is_printable(L_INFO) || number_parse(number, &e164) != 0)
		return;
	if (numbers_masked())
		number_mask(e164, text);
	else
		number_format(e164, text);
	LM_INFO("%s is not provisioned\n", text);
}

/* --- functions --- */

static int ki_number_route(struct sip_msg *msg, str *number)
{
	struct attribute_set set;
	int rc = number_find(span_of_str(number), &set);

	if (rc != FOUND) {
		call_state_clear(CALL_ATTRIBUTES);
		call_state_clear(CALL_ACCOUNT);
		call_state_clear(CALL_SERVICE);
		if (rc == NOT_PROVISIONED)
			not_provisioned_log(span_of_str(number));
		return rc;
	}
	if (call_state_set_int(CALL_ATTRIBUTES, (int)set.id) != 0 ||
	    call_state_set_str(CALL_ACCOUNT, str_of(set.account)) != 0 ||
	    call_state_set_str(CALL_SERVICE, str_of(service_name(set.service))) != 0) {
		LM_ERR("no shared memory for the state of the call\n");
		return NOT_PUBLISHED;
	}
	return FOUND;
}

static int w_number_route(struct sip_msg *msg, char *number, char *unused)
{
	str text;

	if (get_str_fparam(&text, msg, (fparam_t *)number) < 0)
		return NOT_A_NUMBER;
	return ki_number_route(msg, &text);
}

static int ki_number_called(struct sip_msg *msg)
{
	return user_called(msg) ? -1 : 1;
}

static int w_number_called(struct sip_msg *msg, char *unused1, char *unused2)
{
	return ki_number_called(msg);
}

static int ki_number_calling(struct sip_msg *msg)
{
	return user_calling(msg) ? -1 : 1;
}

static int w_number_calling(struct sip_msg *msg, char *unused1, char *unused2)
{
	return ki_number_calling(msg);
}

static cmd_export_t commands[] = {
	{.name = "number_route",
	 .function = w_number_route,
	 .param_no = 1,
	 .fixup = fixup_spve_null,
	 .free_fixup = fixup_free_spve_null,
	 .flags = ANY_ROUTE},
	{.name = "number_called", .function = w_number_called, .flags = REQUEST_ROUTE},
	{.name = "number_calling", .function = w_number_calling, .flags = REQUEST_ROUTE},
	{},
};

/* --- pseudo-variables --- */

enum number_field { FIELD_ACCOUNT, FIELD_SERVICE, FIELD_HEADER, FIELD_FOUND, FIELD_COUNT };
static const char *const field_names[FIELD_COUNT] = {
	[FIELD_ACCOUNT] = "account", [FIELD_SERVICE] = "service", [FIELD_HEADER] = "header", [FIELD_FOUND] = "found"};

static const char *field_text(const struct attribute_set *set, enum number_field field)
{
	switch (field) {
	case FIELD_ACCOUNT:
		return set->account;
	case FIELD_SERVICE:
		return service_name(set->service);
	default:
		return attribute_set_header(set);
	}
}

/* The values are read through the attribute set, so they are there in later requests of the dialog as well. */
static int pv_number_get(struct sip_msg *msg, pv_param_t *param, pv_value_t *value)
{
	enum number_field field = (enum number_field)param->pvn.u.isname.name.n;
	int id = call_state_int(CALL_ATTRIBUTES, 0);
	struct attribute_set set;

	if (field == FIELD_FOUND)
		return pv_get_sintval(msg, param, value, id != 0);
	if (id == 0 || number_table_set(provisioning.region, (uint32_t)id, &set) != 0)
		return pv_get_null(msg, param, value);
	/* the script may hold several values at once: Kamailio's own buffers rotate */
	char *copy = strcpy(pv_get_buffer(), field_text(&set, field));
	str text = str_of(copy);
	return pv_get_strval(msg, param, value, &text);
}

static int pv_number_parse(pv_spec_p spec, str *name)
{
	for (int field = 0; field < FIELD_COUNT; field++)
		if (span_equal(span_of_str(name), span_of(field_names[field]))) {
			spec->pvp.pvn.type = PV_NAME_INTSTR;
			spec->pvp.pvn.u.isname.type = 0;
			spec->pvp.pvn.u.isname.name.n = field;
			return 0;
		}
	LM_ERR("$number(%.*s) is unknown: account, service, header or found\n", name->len, name->s);
	return -1;
}

static pv_export_t variables[] = {
	{.name = STR_STATIC_INIT("number"), .type = PVT_OTHER, .getf = pv_number_get, .parse_name = pv_number_parse},
	{},
};

/* --- RPC --- */

static const char *const lookup_document[] = {"What the routing sees: number_route.lookup <number>", NULL};

static void rpc_lookup(rpc_t *rpc, void *context)
{
	struct attribute_set set;
	const char *number = NULL;
	void *handle;
	int scanned = provisioning.scan(rpc, context, "number", &number);

	if (scanned < 0 || provisioning.scan_end(rpc, context) < 0)
		return;
	if (scanned == 0) {
		rpc->fault(context, 400, "number: is missing");
		return;
	}
	switch (number_find(span_of(number), &set)) {
	case NOT_A_NUMBER:
		rpc->fault(context, 400, "number: %s", number_fault(span_of(number)));
		return;
	case NOT_PROVISIONED:
		rpc->fault(context, 404, "number: is not provisioned");
		return;
	case NOT_PUBLISHED:
		rpc->fault(context, 503, "nothing is published yet");
		return;
	}
	if (rpc->add(context, "{", &handle) < 0)
		return;
	rpc->struct_add(handle, "ssss", "telephoneNumber", number, "accountName", set.account, "service",
			service_name(set.service), "customSipHeader", attribute_set_header(&set));
}

static rpc_export_t rpcs[] = {
	{.name = "number_route.lookup", .function = rpc_lookup, .doc_str = (const char **)lookup_document},
	{},
};

/* --- KEMI --- */

static sr_kemi_t kemi[] = {
	{STR_STATIC_INIT("number_route"),
	 STR_STATIC_INIT("number_route"),
	 SR_KEMIP_INT,
	 ki_number_route,
	 {SR_KEMIP_STR}},
	{.mname = STR_STATIC_INIT("number_route"),
	 .fname = STR_STATIC_INIT("number_called"),
	 .rtype = SR_KEMIP_INT,
	 .func = ki_number_called},
	{.mname = STR_STATIC_INIT("number_route"),
	 .fname = STR_STATIC_INIT("number_calling"),
	 .rtype = SR_KEMIP_INT,
	 .func = ki_number_calling},
	{},
};

int mod_register(char *path, int *flags, void *reserved1, void *reserved2)
{
	sr_kemi_modules_add(kemi);
	return 0;
}

/* --- exports --- */

static int mod_init(void)
{
	return provisioning_bind(&provisioning);
}

struct module_exports exports = {
	.name = "number_route",
	.dlflags = DEFAULT_DLFLAGS,
	.cmds = commands,
	.rpc_methods = rpcs,
	.pv_items = variables,
	.init_mod_f = mod_init,
};
