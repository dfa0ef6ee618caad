/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Call-ID, tags and token, read by Kamailio's own parsers. */
#include "dialog_message.h"

#include <errno.h>

#include <core/parser/parse_from.h>
#include <core/parser/parse_to.h>
#include <core/parser/parse_uri.h>

#include "glue.h"

int dialog_message_id(struct sip_msg *msg, struct dialog_id *id)
{
	if (parse_headers(msg, HDR_EOH_F, 0) < 0 || !msg->callid || parse_from_header(msg) < 0 ||
	    parse_to_header(msg) < 0)
		return -EINVAL;
	*id = (struct dialog_id){.call_id = span_of_str(&msg->callid->body),
				 .from_tag = span_of_str(&get_from(msg)->tag_value),
				 .to_tag = span_of_str(&get_to(msg)->tag_value)};
	return 0;
}

/* Cuts the next parameter off. */
static bool next_parameter(struct span *rest, struct span *parameter)
{
	const char *stop = rest->len ? memchr(rest->ptr, ';', rest->len) : NULL;
	size_t length = stop ? (size_t)(stop - rest->ptr) : rest->len;

	if (rest->len == 0)
		return false;
	*parameter = (struct span){rest->ptr, length};
	*rest = span_skip(*rest, stop ? length + 1 : length);
	return true;
}

int dialog_message_token(const rr_t *route, struct span *token)
{
	static const char name[] = "tg=";
	struct sip_uri uri;
	struct span parameter;

	if (parse_uri(route->nameaddr.uri.s, route->nameaddr.uri.len, &uri) < 0)
		return -ENOENT;
	for (struct span rest = span_of_str(&uri.params); next_parameter(&rest, &parameter);) {
		if (parameter.len < strlen(name) || memcmp(parameter.ptr, name, strlen(name)))
			continue;
		*token = span_skip(parameter, strlen(name));
		return 0;
	}
	return -ENOENT;
}
