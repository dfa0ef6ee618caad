/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Kamailio module `custom_header`: the operator's header on messages towards the operator, and on no other.
 *
 *   loadmodule "custom_header.so"
 *   custom_header_remove();
 */
#include <string.h>

#include <core/data_lump.h>
#include <core/data_lump_rpl.h>
#include <core/dprint.h>
#include <core/kemi.h>
#include <core/mem/mem.h>
#include <core/parser/parse_rr.h>
#include <core/parser/parse_uri.h>
#include <core/route.h>
#include <core/sr_module.h>
#include <modules/tm/tm_load.h>

#include "call_state.h"
#include "dialog_message.h"
#include "glue.h"
#include "header_line.h"
#include "kamailio_compat.h"
#include "provisioning_api.h"

MODULE_VERSION

static struct provisioning_api provisioning;
static struct tm_binds tm;

/* What decides about the header: who sent the request, and the attribute set of the call. */
struct call {
	enum side sender;
	uint32_t attributes;
};

static struct call call_of_state(void)
{
	return (struct call){.sender = (enum side)call_state_int(CALL_SIDE, 0),
			     .attributes = (uint32_t)call_state_int(CALL_ATTRIBUTES, 0)};
}

static struct call call_of_transaction(struct cell *cell)
{
	struct call_state_scope scope = call_state_enter(cell);
	struct call call = call_of_state();

	call_state_leave(scope);
	return call;
}

/* --- the dialog token in a response's Record-Route --- */

/* The answer to a request of the one who started the dialog: what has a Record-Route of ours but no transaction. */
static struct call call_of_record_route(struct sip_msg *msg, const struct header_settings *settings)
{
	struct dialog_id id;
	struct dialog dialog;
	struct span token;

	if (dialog_message_id(msg, &id))
		return (struct call){};
	for (struct hdr_field *header = msg->record_route; header; header = next_sibling_hdr(header)) {
		if (parse_rr(header) < 0)
			return (struct call){};
		for (const rr_t *route = header->parsed; route; route = route->next)
			if (dialog_message_token(route, &token) == 0 &&
			    dialog_token_read(token, &id, settings->dialog_key, &dialog) == 0)
				return (struct call){.sender = dialog.direction == TO_SERVICE ? SIDE_OPERATOR
											      : SIDE_SERVICE,
						     .attributes = dialog.attribute_set};
	}
	return (struct call){};
}

/* In the core reply_route the XAVPs are not those of the transaction. */
static struct call call_of_message(struct sip_msg *msg, const struct header_settings *settings)
{
	int branch = 0;
	struct cell *cell;

	if (get_route_type() != CORE_ONREPLY_ROUTE)
		return call_of_state();
	/* the reference is tm's own to give back, when it handles this reply */
	if (tm.t_check(msg, &branch) == 1 && (cell = tm.t_gett()) && cell != T_UNDEFINED)
		return call_of_transaction(cell);
	return call_of_record_route(msg, settings);
}

/* A CANCEL belongs to the call of its INVITE. */
static struct call call_of_request(struct sip_msg *msg)
{
	struct call call = call_of_state();

	if (msg->REQ_METHOD != METHOD_CANCEL)
		return call;
	struct cell *cell = tm.t_lookup_original(msg);
	if (!cell || cell == T_UNDEFINED)
		return call;
	call = call_of_transaction(cell);
	tm.unref_cell(cell);
	return call;
}

/* --- functions --- */

static int header_insert(struct sip_msg *msg, const char *line, size_t length)
{
	char *copy;
	struct lump *anchor;

	if (parse_headers(msg, HDR_EOH_F, 0) < 0)
		return -1;
	anchor = anchor_lump(msg, msg->unparsed - msg->buf, 0, HDR_OTHER_T);
	copy = pkg_malloc(length);
	if (!anchor || !copy)
		goto fail;
	memcpy(copy, line, length);
	if (insert_new_lump_before(anchor, copy, (int)length, HDR_OTHER_T))
		return 0;
fail:
	if (copy)
		pkg_free(copy);
	LM_ERR("no memory for the header\n");
	return -1;
}

static int ki_custom_header_remove(struct sip_msg *msg)
{
	struct header_settings settings;

	header_settings_read(provisioning.region, &settings);
	size_t length = strlen(settings.name);
	if (length == 0 || parse_headers(msg, HDR_EOH_F, 0) < 0)
		return 1;
	for (struct hdr_field *header = msg->headers; header; header = header->next)
		if (header->name.len == (int)length && strncasecmp(header->name.s, settings.name, length) == 0)
			del_lump(msg, header->name.s - msg->buf, header->len, HDR_OTHER_T);
	return 1;
}

static int ki_custom_header_add(struct sip_msg *msg)
{
	struct header_settings settings;
	char line[HEADER_LINE_MAX + 1];
	bool reply = msg->first_line.type == SIP_REPLY;

	header_settings_read(provisioning.region, &settings);
	if (!settings.name[0])
		return 1;
	struct call call = call_of_message(msg, &settings);
	if (call.sender != (reply ? SIDE_OPERATOR : SIDE_SERVICE))
		return 1;
	size_t length = header_line(provisioning.region, &settings, call.attributes, line);
	return length == 0 || header_insert(msg, line, length) == 0 ? 1 : -1;
}

static bool has_reply_line(const struct sip_msg *msg, struct span line)
{
	for (struct lump_rpl *lump = msg->reply_lump; lump; lump = lump->next)
		if (span_equal(span_of_str(&lump->text), line))
			return true;
	return false;
}

static int ki_custom_header_local(struct sip_msg *msg)
{
	struct header_settings settings;
	char line[HEADER_LINE_MAX + 1];

	if (msg->first_line.type != SIP_REQUEST)
		return 1;
	header_settings_read(provisioning.region, &settings);
	struct call call = call_of_request(msg);
	if (call.sender != SIDE_OPERATOR)
		return 1;
	size_t length = header_line(provisioning.region, &settings, call.attributes, line);
	if (length == 0 || has_reply_line(msg, (struct span){line, length}))
		return 1;
	return add_lump_rpl2(msg, line, (int)length, LUMP_RPL_HDR) ? 1 : -1;
}

static int w_custom_header_remove(struct sip_msg *msg, char *unused1, char *unused2)
{
	return ki_custom_header_remove(msg);
}

static int w_custom_header_add(struct sip_msg *msg, char *unused1, char *unused2)
{
	return ki_custom_header_add(msg);
}

static int w_custom_header_local(struct sip_msg *msg, char *unused1, char *unused2)
{
	return ki_custom_header_local(msg);
}

static cmd_export_t commands[] = {
	{.name = "custom_header_remove", .function = w_custom_header_remove, .flags = ANY_ROUTE},
	{.name = "custom_header_add", .function = w_custom_header_add, .flags = ANY_ROUTE},
	{.name = "custom_header_local", .function = w_custom_header_local, .flags = REQUEST_ROUTE},
	{},
};

/* --- KEMI --- */

static sr_kemi_t kemi[] = {
	{.mname = STR_STATIC_INIT("custom_header"),
	 .fname = STR_STATIC_INIT("custom_header_remove"),
	 .rtype = SR_KEMIP_INT,
	 .func = ki_custom_header_remove},
	{.mname = STR_STATIC_INIT("custom_header"),
	 .fname = STR_STATIC_INIT("custom_header_add"),
	 .rtype = SR_KEMIP_INT,
	 .func = ki_custom_header_add},
	{.mname = STR_STATIC_INIT("custom_header"),
	 .fname = STR_STATIC_INIT("custom_header_local"),
	 .rtype = SR_KEMIP_INT,
	 .func = ki_custom_header_local},
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
	if (load_tm_api(&tm) < 0) {
		LM_ERR("load the module tm before this one\n");
		return -1;
	}
	return provisioning_bind(&provisioning);
}

struct module_exports exports = {
	.name = "custom_header",
	.dlflags = DEFAULT_DLFLAGS,
	.cmds = commands,
	.init_mod_f = mod_init,
};
