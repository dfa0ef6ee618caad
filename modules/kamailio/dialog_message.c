/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Call-ID, tags and token, read by Kamailio's own parsers. */
#include "dialog_message.h"

#include <errno.h>

#include <sodium.h>

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

uint32_t dialog_message_invite(struct sip_msg *msg, const uint8_t key[DIALOG_KEY_SIZE])
{
	crypto_generichash_state hash;
	unsigned char bytes[crypto_generichash_BYTES_MIN];

	if (parse_headers(msg, HDR_VIA1_F | HDR_CSEQ_F, 0) < 0 || !msg->h_via1 || !msg->cseq)
		return 0;
	const str lines[] = {msg->h_via1->body, msg->cseq->body};
	crypto_generichash_init(&hash, key, DIALOG_KEY_SIZE, sizeof(bytes));
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		crypto_generichash_update(&hash, (const unsigned char *)lines[i].s, (unsigned long long)lines[i].len);
	crypto_generichash_final(&hash, bytes, sizeof(bytes));
	return (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
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
