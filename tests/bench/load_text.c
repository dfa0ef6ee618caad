/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "load_text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ROUTES_MAX = 8 };

void load_add(struct load_text *text, const char *format, ...)
{
	size_t left = sizeof(text->bytes) - text->length;
	va_list values;

	va_start(values, format);
	int n = vsnprintf(text->bytes + text->length, left, format, values);
	va_end(values);
	if (n > 0 && (size_t)n < left)
		text->length += (size_t)n;
}

/* The next header line of that name after @p line; its end in @p end. */
static const char *line_find(const char *line, const char *name, const char **end)
{
	while ((line = strstr(line, "\r\n")) != NULL) {
		line += 2;
		*end = strstr(line, "\r\n");
		if (!*end || *line == '\r')
			return NULL;
		if (strncasecmp(line, name, strlen(name)) == 0)
			return line;
	}
	return NULL;
}

void load_add_lines(struct load_text *text, const char *message, const char *name)
{
	const char *end;

	for (const char *line = line_find(message, name, &end); line; line = line_find(end, name, &end))
		load_add(text, "%.*s\r\n", (int)(end - line), line);
}

void load_add_body(struct load_text *text, const char *host)
{
	char body[512] = "";

	if (host) {
		snprintf(body, sizeof(body),
			 "v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n"
			 "a=rtpmap:8 PCMA/8000\r\n",
			 host, host);
		load_add(text, "Content-Type: application/sdp\r\n");
	}
	load_add(text, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
}

void load_value(const char *message, const char *name, char *to, size_t size)
{
	const char *end, *line = line_find(message, name, &end);

	to[0] = '\0';
	if (!line)
		return;
	line += strlen(name);
	line += strspn(line, " ");
	if ((size_t)(end - line) < size) {
		memcpy(to, line, (size_t)(end - line));
		to[end - line] = '\0';
	}
}

void load_piece(const char *value, const char *before, const char *ends, char *to, size_t size)
{
	const char *found = strstr(value, before);

	to[0] = '\0';
	if (!found)
		return;
	found += strlen(before);
	size_t length = strcspn(found, ends);
	if (length < size) {
		memcpy(to, found, length);
		to[length] = '\0';
	}
}

void load_routes(const char *answer, char *to, size_t size)
{
	const char *lines[ROUTES_MAX], *ends[ROUTES_MAX], *end;
	const size_t name = strlen("Record-Route:");
	size_t count = 0, length = 0;

	for (const char *line = line_find(answer, "Record-Route:", &end); line && count < ROUTES_MAX;
	     line = line_find(end, "Record-Route:", &end)) {
		lines[count] = line + name;
		ends[count++] = end;
	}
	to[0] = '\0';
	while (count-- > 0 && length < size)
		length += (size_t)snprintf(to + length, size - length, "Route:%.*s\r\n",
					   (int)(ends[count] - lines[count]), lines[count]);
}

uint64_t load_hash(const char *text, uint64_t seed)
{
	uint64_t hash = 14695981039346656037u ^ seed << 32;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 1099511628211u;
	return hash;
}

int load_status(const char *message)
{
	return strncmp(message, "SIP/2.0 ", 8) == 0 ? atoi(message + 8) : 0;
}
