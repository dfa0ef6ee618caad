/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What a body calls itself, and what its parts do. */
#include "sdp_body.h"

#include <strings.h>

static const char *const white = " \t\r\n";

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c);
}

static struct span rest_of(struct span text, size_t from)
{
	return (struct span){text.ptr + from, text.len - from};
}

/* In whatever case. */
static bool begins(struct span text, struct span word)
{
	return text.len >= word.len && strncasecmp(text.ptr, word.ptr, word.len) == 0;
}

static size_t count(struct span text, struct span word)
{
	size_t found = 0;

	for (size_t i = 0; i + word.len <= text.len; i++)
		found += begins(rest_of(text, i), word);
	return found;
}

static struct span after_white(struct span text)
{
	while (text.len > 0 && is_one_of(text.ptr[0], white))
		text = rest_of(text, 1);
	return text;
}

static bool skip(struct span *text, struct span word)
{
	if (!begins(*text, word))
		return false;
	*text = after_white(rest_of(*text, word.len));
	return true;
}

/* White space may stand around the slash (RFC 3261 25.1). */
static bool begins_with_type_of_sdp(struct span text)
{
	return skip(&text, SPAN_LIT("application")) && skip(&text, SPAN_LIT("/")) && skip(&text, SPAN_LIT("sdp"));
}

static size_t count_types_of_sdp(struct span text)
{
	size_t found = 0;

	for (size_t i = 0; i < text.len; i++)
		found += begins_with_type_of_sdp(rest_of(text, i));
	return found;
}

/* The media type alone, without parameters. */
static bool is_type(struct span type, struct span wanted)
{
	type = after_white(type);
	return begins(type, wanted) && (type.len == wanted.len || is_one_of(type.ptr[wanted.len], "; \t\r\n"));
}

/* Does a line begin as SDP's do? A reader that is lenient about the part's type would find it. */
static bool has_line_of_sdp(struct span body)
{
	for (size_t i = 0; i + 2 <= body.len; i++) {
		bool first = i == 0 || is_one_of(body.ptr[i - 1], "\r\n");
		if (first && (memcmp(body.ptr + i, "v=", 2) == 0 || memcmp(body.ptr + i, "m=", 2) == 0))
			return true;
	}
	return false;
}

static enum sdp_body kind_of_parts(struct span type, struct span body)
{
	size_t parts = count_types_of_sdp(body);

	if (parts == 0)
		return has_line_of_sdp(body) ? SDP_BODY_BAD : SDP_BODY_NONE;
	return parts == 1 && count(body, SPAN_LIT("application/sdp")) == 1 && is_type(type, SPAN_LIT("multipart/mixed"))
		       ? SDP_BODY_OPEN
		       : SDP_BODY_BAD;
}

enum sdp_body sdp_body_kind(struct span type, struct span body)
{
	if (body.len == 0)
		return SDP_BODY_NONE;
	if (type.len == 0)
		return SDP_BODY_BAD;
	/* nearly always: the rest is for what is written in another way */
	if (type.len == sizeof("application/sdp") - 1 && is_type(type, SPAN_LIT("application/sdp")))
		return SDP_BODY_OPEN;
	if (count(type, SPAN_LIT("multipart")) > 0)
		return kind_of_parts(type, body);
	if (count(type, SPAN_LIT("sdp")) == 0)
		return SDP_BODY_NONE;
	return is_type(type, SPAN_LIT("application/sdp")) && count(type, SPAN_LIT(",")) == 0 ? SDP_BODY_OPEN
											     : SDP_BODY_BAD;
}
