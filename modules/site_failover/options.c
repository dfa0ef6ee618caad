/* SPDX-License-Identifier: GPL-2.0-or-later */
/** OPTIONS of our own. */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <modules/tm/timer.h>

#include "glue.h"
#include "state.h"

enum { MESSAGE_URI_MAX = TOPOLOGY_HOST_MAX + 64 };

/* Some peers send REFER and the like only to those that allow them here. */
#define ALLOW "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY\r\n"

/* "192.0.2.1:5060" or "[2001:db8::1]:5060", as advertised: what stands after the protocol in the socket's name. */
static str address_of(const struct socket_info *socket)
{
	str text = socket->useinfo.sock_str.len ? socket->useinfo.sock_str : socket->sock_str;
	const char *colon = memchr(text.s, ':', (size_t)text.len);
	int skipped = colon ? (int)(colon + 1 - text.s) : 0;
	return (str){.s = text.s + skipped, .len = text.len - skipped};
}

static void shorten_wait(unsigned index, unsigned label, uint32_t limit_ms)
{
	struct cell *cell = NULL;
	if (site_state.tm.t_lookup_ident(&cell, index, label) < 0 || !cell)
		return;
	change_fr(cell, 0, MS_TO_TICKS((ticks_t)limit_ms));
	site_state.tm.unref_cell(cell);
	site_state.tm.t_sett(T_UNDEFINED, T_BR_UNDEFINED);
}

/* Who we are: the name that the peer knows us by, or our address. */
static void write_self(const struct socket_info *socket, struct span name, const char *transport,
		       char self[MESSAGE_URI_MAX])
{
	str own = address_of(socket);
	if (name.len)
		snprintf(self, MESSAGE_URI_MAX, "sip:%.*s:%u%s", (int)name.len, name.ptr, socket->port_no, transport);
	else
		snprintf(self, MESSAGE_URI_MAX, "sip:%.*s%s", STR_FMT(&own), transport);
}

int options_send(const struct place *place, const struct options *options)
{
	static str method = STR_STATIC_INIT("OPTIONS");
	char hop[PLACE_URI_MAX], target[MESSAGE_URI_MAX], self[MESSAGE_URI_MAX], headers[MESSAGE_URI_MAX + 256];
	struct socket_info *socket = place_send_socket(place);
	unsigned index = 0, label = 0;
	uac_req_t request;
	if (!socket)
		return -ENOTCONN;
	place_uri(place, hop);
	const char *transport = strrchr(hop, ';');
	if (options->host[0])
		snprintf(target, sizeof(target), "sip:%s:%u%s", options->host, place->port, transport);
	else
		memcpy(target, hop, sizeof(hop));
	write_self(socket, options->name, transport, self);
	snprintf(headers, sizeof(headers), "Contact: <%s>\r\n" ALLOW "Accept: application/sdp\r\n", self);
	str target_uri = str_of(target), self_uri = str_of(self), text = str_of(headers), hop_uri = str_of(hop);
	str call_id, tag;
	site_state.tm.generate_callid(&call_id);
	site_state.tm.generate_fromtag(&tag, &call_id, &target_uri);
	dlg_t dialog = {
		.id = {.call_id = call_id, .loc_tag = tag},
		.loc_seq = {.value = 1, .is_set = 1},
		.loc_uri = self_uri,
		.rem_uri = target_uri,
		.rem_target = target_uri,
		.dst_uri = hop_uri,
		.state = DLG_NEW,
		.send_sock = socket,
	};
	set_uac_req(&request, &method, &text, NULL, &dialog, options->answered ? TMCB_LOCAL_COMPLETED : 0,
		    options->answered, options->ticket);
	if (site_state.tm.t_uac_with_ids(&request, &index, &label) < 0)
		return -EIO;
	shorten_wait(index, label, options->limit_ms);
	return 0;
}
