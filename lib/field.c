/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Rules of the text fields that operators write. */
#include "field.h"

#include <strings.h>

static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_name_character(char c)
{
	return is_alphanumeric(c) || c == '_' || c == '-';
}

/* RFC 3261 section 25.1, token */
static bool is_token_character(char c)
{
	return is_alphanumeric(c) || (c != '\0' && strchr("-.!%*_+`'~", c) != NULL);
}

static bool all_of(struct span text, bool (*is_member)(char))
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_member(text.ptr[i]))
			return false;
	return true;
}

const char *field_name_fault(struct span text)
{
	if (text.len == 0)
		return "is empty";
	if (text.len > FIELD_NAME_MAX)
		return "is longer than 100 characters";
	if (!all_of(text, is_name_character))
		return "may hold only letters, digits, '_' and '-'";
	return NULL;
}

/* Headers that carry the call itself, with their compact forms: a custom header must not stand in for one. */
/* clang-format off */
static const char *const reserved_headers[] = {
	"Accept", "Allow", "Authorization", "b", "c", "Call-ID", "Contact", "Content-Encoding", "Content-Length",
	"Content-Type", "CSeq", "d", "Date", "e", "Event", "Expires", "f", "From", "i", "Identity", "j", "k", "l",
	"m", "Max-Forwards", "Min-SE", "n", "o", "P-Asserted-Identity", "Path", "Privacy", "Proxy-Authorization",
	"Proxy-Require", "r", "RAck", "Reason", "Record-Route", "Refer-To", "Referred-By", "Replaces", "Require",
	"Retry-After", "Route", "RSeq", "s", "Session-Expires", "Subject", "Supported", "t", "To", "u",
	"Unsupported", "v", "Via", "Warning", "WWW-Authenticate", "x", "y",
};
/* clang-format on */

const char *field_header_name_fault(struct span text)
{
	if (text.len == 0)
		return "is empty";
	if (text.len > FIELD_HEADER_NAME_MAX)
		return "is longer than 32 characters";
	if (!all_of(text, is_token_character))
		return "may hold only letters, digits and -.!%*_+`'~";
	for (size_t i = 0; i < sizeof(reserved_headers) / sizeof(*reserved_headers); i++)
		if (strlen(reserved_headers[i]) == text.len && !strncasecmp(reserved_headers[i], text.ptr, text.len))
			return "is a header that SIP itself uses";
	return NULL;
}
