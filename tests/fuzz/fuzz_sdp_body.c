/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Content-Type, a line end, a body: what has no "sdp" in it holds none, or hides it; what is open names it once. */
#include "fuzz.h"
#include "sdp_body.h"

#include <strings.h>

static bool mentions(struct span text, const char *word)
{
	for (size_t i = 0; i + strlen(word) <= text.len; i++)
		if (strncasecmp(text.ptr + i, word, strlen(word)) == 0)
			return true;
	return false;
}

/* White space between the letters does not matter. */
static bool spells(struct span text, const char *word)
{
	for (size_t i = 0; i < text.len; i++) {
		const char *next = word;
		for (size_t j = i; j < text.len && *next; j++) {
			if (strncasecmp(text.ptr + j, next, 1) == 0)
				next++;
			else if (next == word || text.ptr[j] == '\0' || !strchr(" \t\r\n", text.ptr[j]))
				break;
		}
		if (!*next)
			return true;
	}
	return false;
}

static bool begins_a_line(struct span text, const char *word)
{
	for (size_t i = 0; i + strlen(word) <= text.len; i++)
		if ((i == 0 || text.ptr[i - 1] == '\r' || text.ptr[i - 1] == '\n') &&
		    memcmp(text.ptr + i, word, strlen(word)) == 0)
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	if (!end)
		return 0;
	struct span type = {(const char *)data, (size_t)(end - data)};
	struct span body = {(const char *)end + 1, size - type.len - 1};
	enum sdp_body kind = sdp_body_kind(type, body);
	bool named = mentions(type, "sdp") || mentions(body, "application/sdp");
	REQUIRE(kind == SDP_BODY_NONE || body.len > 0);
	REQUIRE(kind != SDP_BODY_OPEN || named);
	bool hidden = mentions(type, "multipart") && (begins_a_line(body, "v=") || begins_a_line(body, "m="));
	REQUIRE(kind == SDP_BODY_NONE || named || type.len == 0 || hidden || spells(body, "application/sdp"));
	REQUIRE(kind != SDP_BODY_NONE || !hidden);
	return 0;
}
