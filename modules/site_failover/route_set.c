/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The way to the callee, as his response tells it. */
#include "route_set.h"

#include <errno.h>
#include <stdbool.h>

#include <core/forward.h>
#include <core/parser/contact/parse_contact.h>
#include <core/parser/parse_rr.h>
#include <core/parser/parse_uri.h>

#include "dialog_message.h"
#include "state.h"

struct reader {
	struct dialog_id id;
	struct topology_settings settings;
	uint32_t invite;
};

static bool has_our_address(const rr_t *route)
{
	struct sip_uri uri;
	if (parse_uri(route->nameaddr.uri.s, route->nameaddr.uri.len, &uri))
		return false;
	unsigned short port = uri.port_no ? uri.port_no : uri.proto == PROTO_TLS ? SIPS_PORT : SIP_PORT;
	return check_self(&uri.host, port, 0) == 1;
}

static bool is_ours(const struct reader *reader, const rr_t *route)
{
	struct span token;
	struct dialog dialog;
	if (reader->invite == 0)
		return has_our_address(route);
	return dialog_message_token(route, &token) == 0 &&
	       dialog_token_read(token, &reader->id, reader->settings.dialog_key, &dialog) == 0 &&
	       dialog.invite == reader->invite;
}

/* The Record-Routes above ours; the nearest to us comes last. True if ours is there. */
static bool read_above(struct sip_msg *msg, const struct reader *reader, rr_t *found[ROUTES_MAX + 1], size_t *count)
{
	*count = 0;
	for (struct hdr_field *header = msg->record_route; header; header = next_sibling_hdr(header))
		for (rr_t *route = header->parsed; route; route = route->next) {
			if (is_ours(reader, route))
				return true;
			if (*count <= ROUTES_MAX)
				found[(*count)++] = route;
		}
	return false;
}

static int parse_routes(struct sip_msg *msg)
{
	for (struct hdr_field *header = msg->record_route; header; header = next_sibling_hdr(header))
		if (parse_rr(header))
			return -EINVAL;
	return 0;
}

int route_set_read(struct sip_msg *msg, uint32_t invite, struct route_set *set)
{
	rr_t *found[ROUTES_MAX + 1];
	struct reader reader = {.invite = invite};
	size_t count = 0;
	if (parse_routes(msg) || site_settings(&reader.settings) || dialog_message_id(msg, &reader.id))
		return -EINVAL;
	if (!read_above(msg, &reader, found, &count) && invite) {
		reader.invite = 0;
		read_above(msg, &reader, found, &count);
	}
	if (count > ROUTES_MAX)
		return -E2BIG;
	*set = (struct route_set){.count = count};
	for (size_t i = 0; i < count; i++)
		set->routes[i] = (str){.s = found[count - 1 - i]->nameaddr.name.s, .len = found[count - 1 - i]->len};
	if (count)
		set->next = found[count - 1]->nameaddr.uri;
	return 0;
}

int route_set_contact(struct sip_msg *msg, str *uri)
{
	if (!msg->contact || parse_contact(msg->contact) < 0)
		return -EINVAL;
	contact_body_t *body = msg->contact->parsed;
	if (!body || !body->contacts)
		return -EINVAL;
	*uri = body->contacts->uri;
	return 0;
}
