/* SPDX-License-Identifier: GPL-2.0-or-later */
/** $site(...): what is known of the two ends of the current message. */
#include <core/dprint.h>
#include <core/pvapi.h>
#include <core/pvar.h>

#include "call_state.h"
#include "dialog_token.h"
#include "glue.h"
#include "node.h"
#include "place.h"
#include "script.h"
#include "service.h"
#include "state.h"

/* A group, copied out of the picture. */
struct group_copy {
	enum side side;
	enum transport transport;
	enum media media;
	uint16_t default_service, served;
};

static uint16_t service_of(const struct topology_view *view, struct span group)
{
	struct span serving, operator_group;
	for (const struct service *service = services; service->name; service++)
		if (topology_service(view, service->id, &serving, &operator_group) == 0 && span_equal(serving, group))
			return service->id;
	return 0;
}

static bool read_group(unsigned field, struct group_copy *copy)
{
	struct topology_view view;
	struct group_view group;
	str name = call_state_str(field);
	int result;
	if (name.len == 0)
		return false;
	do {
		if (topology_open(site_state.provisioning.region, &view))
			return false;
		result = topology_group_by_name(&view, span_of_str(&name), &group);
		if (result == 0)
			*copy = (struct group_copy){
				.side = group.side,
				.transport = group.transport,
				.media = group.media,
				.default_service = group.default_service,
				.served = service_of(&view, group.name),
			};
	} while (!topology_current(&view));
	return result == 0;
}

static bool read_peer(unsigned field, struct place *place)
{
	int peer = call_state_int(field, TOPOLOGY_NONE);
	return peer != TOPOLOGY_NONE && place_find((uint32_t)peer, place) == 0;
}

static const char *service_text(uint16_t id)
{
	const struct service *service = service_by_id(id);
	return service ? service->name : NULL;
}

/* Each gives its text, or NULL: the variable is $null. The text lives until the next call. */

static const char *side_of_sender(unsigned field)
{
	int side = call_state_int(field, 0);
	return side ? side_name((enum side)side) : NULL;
}

static const char *direction_of_call(unsigned field)
{
	int direction = call_state_int(field, 0);
	return direction ? direction_name((enum direction)direction) : NULL;
}

static const char *text_field(unsigned field)
{
	static char text[PLACE_URI_MAX];
	str value = call_state_str(field);
	place_copy_text(text, sizeof(text), span_of_str(&value));
	return text[0] ? text : NULL;
}

static const char *peer_name(unsigned field)
{
	static struct place place;
	return read_peer(field, &place) ? place.name : NULL;
}

static const char *peer_site(unsigned field)
{
	static struct place place;
	return read_peer(field, &place) ? place.site : NULL;
}

static const char *group_media(unsigned field)
{
	struct group_copy group;
	return read_group(field, &group) ? media_name(group.media) : NULL;
}

static const char *group_signalling(unsigned field)
{
	struct group_copy group;
	return read_group(field, &group) ? transport_name(group.transport) : NULL;
}

static const char *group_default_service(unsigned field)
{
	struct group_copy group;
	return read_group(field, &group) ? service_text(group.default_service) : NULL;
}

static const char *group_service(unsigned field)
{
	struct group_copy group;
	return read_group(field, &group) ? service_text(group.served) : NULL;
}

/* Both directions: what a call is whose number nobody provisioned; NULL if it is refused. */
static const char *group_unprovisioned_service(unsigned field)
{
	struct group_copy group;
	if (!read_group(field, &group))
		return NULL;
	const struct service *service =
		service_by_id(group.side == SIDE_OPERATOR ? group.default_service : group.served);
	return service && !service->must_be_provisioned ? service->name : NULL;
}

/* Does this node take new calls? */
static const char *state_of_node(unsigned field)
{
	struct topology_settings settings;
	if (site_settings(&settings))
		return NULL;
	if (!settings.draining)
		return "auto";
	return node_is_closed(&settings) ? "closed" : "drain";
}

static const char *emergency(unsigned field)
{
	return call_state_int(field, 0) ? "1" : NULL;
}

static const struct {
	const char *name;
	const char *(*read)(unsigned field);
	unsigned field;
} variables[] = {
	{"side", side_of_sender, CALL_SIDE},
	{"group", text_field, CALL_GROUP},
	{"peer", peer_name, CALL_IN},
	{"site", peer_site, CALL_IN},
	{"direction", direction_of_call, CALL_DIRECTION},
	{"media", group_media, CALL_GROUP},
	{"signalling", group_signalling, CALL_GROUP},
	{"default_service", group_default_service, CALL_GROUP},
	{"ingress_service", group_service, CALL_GROUP},
	{"unprovisioned_service", group_unprovisioned_service, CALL_GROUP},
	{"out_group", text_field, CALL_OUT_GROUP},
	{"out_peer", peer_name, CALL_OUT},
	{"out_site", peer_site, CALL_OUT},
	{"out_media", group_media, CALL_OUT_GROUP},
	{"out_signalling", group_signalling, CALL_OUT_GROUP},
	{"target", text_field, CALL_TARGET},
	{"reason", text_field, CALL_REASON},
	{"node", state_of_node, CALL_FIELDS},
	{"emergency", emergency, CALL_EMERGENCY},
	{},
};

int variable_parse(pv_spec_t *spec, str *name)
{
	for (int i = 0; variables[i].name; i++) {
		if (!span_equal(span_of(variables[i].name), span_of_str(name)))
			continue;
		spec->pvp.pvn.type = PV_NAME_INTSTR;
		spec->pvp.pvn.u.isname.type = 0;
		spec->pvp.pvn.u.isname.name.n = i;
		return 0;
	}
	LM_ERR("there is no $site(%.*s)\n", STR_FMT(name));
	return -1;
}

int variable_get(struct sip_msg *msg, pv_param_t *param, pv_value_t *value)
{
	size_t i = (size_t)param->pvn.u.isname.name.n;
	const char *text = variables[i].read(variables[i].field);
	if (!text)
		return pv_get_null(msg, param, value);
	/* a buffer of its own: two of ours may stand in one expression */
	char *copy = pv_get_buffer();
	place_copy_text(copy, (size_t)pv_get_buffer_size(), span_of(text));
	return pv_get_strzval(msg, param, value, copy);
}
