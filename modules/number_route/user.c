/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The number in a user part: without the user's parameters (npdi, rn), escapes and visual separators. */
#include "user.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include <core/parser/parse_from.h>
#include <core/parser/parse_ppi_pai.h>
#include <core/parser/parse_uri.h>
#include <core/strutils.h>

#include "call_state.h"
#include "glue.h"

enum { USER_MAX = 512 };

static struct span before(struct span text, char end)
{
	const char *found = text.len ? memchr(text.ptr, end, text.len) : NULL;

	return found ? (struct span){text.ptr, (size_t)(found - text.ptr)} : text;
}

/* What no escape sequence may stand for gives an empty number. */
static str number_of(struct span user, char text[USER_MAX + 1])
{
	str escaped = str_of_span(before(user, ';')), number = {.s = text, .len = USER_MAX + 1};
	int length = 0;

	if (escaped.len <= 0 || escaped.len > USER_MAX || unescape_user(&escaped, &number) < 0)
		return (str){.s = "", .len = 0};
	for (int i = 0; i < number.len; i++)
		if (!memchr("-.()", text[i], 4))
			text[length++] = text[i];
	number.len = length;
	return number;
}

/* "+" and digits, however many. */
static bool is_international(str number)
{
	for (int i = 1; i < number.len; i++)
		if (number.s[i] < '0' || number.s[i] > '9')
			return false;
	return number.len > 1 && number.s[0] == '+';
}

/* ------- the called user ------- */

/* Not by the parser's type: to that a SIP URI with user=phone is a tel URI. */
static bool has_scheme(struct sip_msg *msg, const char *scheme)
{
	const str *uri = GET_RURI(msg);
	size_t length = strlen(scheme);

	return (size_t)uri->len > length && strncasecmp(uri->s, scheme, length) == 0;
}

static bool is_tel(struct sip_msg *msg)
{
	return has_scheme(msg, "tel:");
}

/* The parser calls a part of other URIs user, too. */
static bool has_user(struct sip_msg *msg)
{
	return parse_sip_msg_uri(msg) >= 0 && msg->parsed_uri.user.len > 0 &&
	       (has_scheme(msg, "sip:") || has_scheme(msg, "sips:") || is_tel(msg));
}

/* All of it, parameters included, as it stands in the URI. */
static struct span user_of(struct sip_msg *msg)
{
	struct span uri = span_of_str(GET_RURI(msg));

	if (!is_tel(msg))
		uri = before(uri, '@');

	size_t scheme = before(uri, ':').len;
	return scheme < uri.len ? before(span_skip(uri, scheme + 1), ':') : (struct span){};
}

static bool is_user_of_phone(struct sip_msg *msg)
{
	static const struct span wanted = SPAN_LIT(";user=phone");
	struct span uri = span_of_str(GET_RURI(msg));

	for (uri = span_skip(uri, before(uri, '@').len); uri.len >= wanted.len; uri = span_skip(uri, 1))
		if (strncasecmp(uri.ptr, wanted.ptr, wanted.len) == 0)
			return true;
	return false;
}

/* A number is sent without visual separators, which some peers do not know; anything else as it came. */
static int keep_user(struct span user, str number)
{
	char text[2 * USER_MAX];
	struct span parameters = span_skip(user, before(user, ';').len);

	if (!is_international(number))
		return call_state_set_str(CALL_USER, str_of_span(user));
	memcpy(text, number.s, (size_t)number.len);
	memcpy(text + number.len, parameters.ptr, parameters.len);
	return call_state_set_str(CALL_USER, (str){.s = text, .len = number.len + (int)parameters.len});
}

int user_called(struct sip_msg *msg)
{
	char text[USER_MAX + 1];

	call_state_clear(CALL_USER);
	if (!has_user(msg))
		return -ENOENT;
	struct span user = user_of(msg);
	if (user.len > USER_MAX)
		return -ENOMEM;
	str number = number_of(user, text);
	str end = str_of(is_tel(msg) || is_user_of_phone(msg) ? ";user=phone" : "");
	return call_state_set_str(CALL_CALLED, number) || call_state_set_str(CALL_USER_END, end) ||
			       keep_user(user, number)
		       ? -ENOMEM
		       : 0;
}

/* ------- the calling user ------- */

/* The asserted identity if there is one: From is whatever the caller likes. One that cannot be read is none. */
static str identity_of(struct sip_msg *msg)
{
	if (parse_headers(msg, HDR_EOH_F, 0) < 0)
		return (str)STR_NULL;
	if (!msg->pai)
		return parse_from_header(msg) < 0 ? (str)STR_NULL : get_from(msg)->uri;
	return parse_pai_header(msg) < 0 || !get_pai(msg) || !get_pai(msg)->id ? (str)STR_NULL : get_pai(msg)->id->uri;
}

int user_calling(struct sip_msg *msg)
{
	char text[USER_MAX + 1];
	str identity = identity_of(msg);
	struct sip_uri uri = {};

	if (identity.len <= 0 || parse_uri(identity.s, identity.len, &uri) < 0)
		uri.user = (str)STR_NULL;
	return call_state_set_str(CALL_CALLING, number_of(span_of_str(&uri.user), text));
}
