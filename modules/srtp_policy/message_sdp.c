/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Body and pending changes of a SIP message. */
#include "message_sdp.h"

#include <errno.h>

#include <core/data_lump.h>
#include <core/dprint.h>
#include <core/parser/parse_content.h>
#include <core/parser/sdp/sdp.h>

#include "glue.h"
#include "sdp_body.h"

static struct span body_of(struct sip_msg *msg)
{
	char *body = get_body(msg);

	return body ? (struct span){body, (size_t)(msg->buf + msg->len - body)} : (struct span){};
}

/* Bytes past Content-Length would stay behind the SDP that rtpengine writes; without that header the module rtpengine
 * writes none. Kamailio itself refuses a second one.
 */
static bool has_exact_length(struct sip_msg *msg, struct span body)
{
	return msg->content_length && get_content_length(msg) == (long)body.len;
}

/* Of two, Kamailio takes the first, and the peer may take the other. The compact form is of the same type. */
static bool has_several_types(struct sip_msg *msg)
{
	unsigned count = 0;

	for (const struct hdr_field *header = msg->headers; header; header = header->next)
		count += header->type == HDR_CONTENTTYPE_T;
	return count > 1;
}

int message_sdp(struct sip_msg *msg, struct span *sdp)
{
	struct span body = body_of(msg);
	struct span type = msg->content_type ? span_of_str(&msg->content_type->body) : (struct span){};

	if (body.len > 0 && has_several_types(msg))
		return -EINVAL;
	switch (sdp_body_kind(type, body)) {
	case SDP_BODY_NONE:
		return 0;
	case SDP_BODY_BAD:
		return -EINVAL;
	case SDP_BODY_OPEN:
		break;
	}
	if (!has_exact_length(msg, body) || parse_sdp(msg) != 0 || !msg->body)
		return -EINVAL;
	*sdp = span_of_str(&((sdp_info_t *)msg->body)->raw_sdp);
	return sdp->len > 0 ? 1 : -EINVAL;
}

static bool is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span trimmed(struct span text)
{
	while (text.len > 0 && is_white(text.ptr[0])) {
		text.ptr++;
		text.len--;
	}
	while (text.len > 0 && is_white(text.ptr[text.len - 1]))
		text.len--;
	return text;
}

static bool same_place(struct span a, struct span b)
{
	a = trimmed(a);
	b = trimmed(b);
	return a.ptr == b.ptr && a.len == b.len;
}

static bool is_replacement(const struct lump *change)
{
	const struct lump *text = change->after;

	return change->op == LUMP_DEL && !change->before && text && text->op == LUMP_ADD && !text->after &&
	       !text->before;
}

/* Kamailio 6 also corrects the Content-Length of the part, which stands before its SDP. */
static bool is_before(const struct lump *change, struct sip_msg *msg, struct span sdp)
{
	return change->u.offset + change->len <= sdp.ptr - msg->buf;
}

int message_new_sdp(struct sip_msg *msg, struct span *sdp)
{
	struct span old, found = {};

	if (message_sdp(msg, &old) != 1)
		return -ENOENT;
	for (const struct lump *change = msg->body_lumps; change; change = change->next) {
		if (!is_replacement(change))
			return -ENOENT;
		if (is_before(change, msg, old))
			continue;
		if (found.ptr || !same_place(old, (struct span){msg->buf + change->u.offset, (size_t)change->len}))
			return -ENOENT;
		found = (struct span){change->after->u.value, (size_t)change->after->len};
	}
	if (!found.ptr)
		return -ENOENT;
	*sdp = found;
	return 0;
}

int message_strip(struct sip_msg *msg)
{
	struct span body = body_of(msg);

	del_nonshm_lump(&msg->body_lumps);
	if (body.len == 0)
		return 0;
	return del_lump(msg, (int)(body.ptr - msg->buf), (int)body.len, 0) ? 0 : -ENOMEM;
}
