/* SPDX-License-Identifier: GPL-2.0-or-later */
/** site_failover.list, page by page, and its table. */
#include "sites.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "field.h"
#include "topology_document.h"

enum {
	ANSWER_SIZE = 256 << 10, /* more than a datagram of the kernel's */
	WAIT_S = 10,
};

/* A page is one datagram; a peer may have 32 targets. */
static const char page_peers[] = "10";

/* ------- one request ------- */

static int socket_fault(const char *path, struct fault *fault)
{
	int error = errno;
	const char *hint = error == ENOENT || error == ECONNREFUSED
				   ? ": does Kamailio run, and has it module jsonrpcs with this dgram_socket?"
				   : "";

	return fault_set(fault, FAULT_UNAVAILABLE, "kamailio", "%s: %s%s", path, strerror(error), hint);
}

/* The kernel gives us a name, so that Kamailio can answer. */
static int socket_open(const char *path, int *fd, struct fault *fault)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = WAIT_S};

	if (strlen(path) >= sizeof(address.sun_path))
		return fault_set(fault, FAULT_BAD_VALUE, "kamailio", "the name of the socket is too long");
	*fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return socket_fault(path, fault);
	setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	int rc = bind(*fd, (const struct sockaddr *)&address, sizeof(address.sun_family));
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (rc == 0)
		rc = connect(*fd, (const struct sockaddr *)&address, sizeof(address));
	if (rc == 0)
		return 0;
	rc = socket_fault(path, fault);
	close(*fd);
	return rc;
}

static char *request_text(const char *group, const char *after)
{
	struct json_object *request = json_object_new_object(), *arguments = json_object_new_array();

	json_object_array_add(arguments, json_object_new_string(group));
	json_object_array_add(arguments, json_object_new_string(page_peers));
	if (*after)
		json_object_array_add(arguments, json_object_new_string(after));
	json_object_object_add(request, "jsonrpc", json_object_new_string("2.0"));
	json_object_object_add(request, "method", json_object_new_string("site_failover.list"));
	json_object_object_add(request, "params", arguments);
	json_object_object_add(request, "id", json_object_new_int(1));
	char *text = strdup(json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN));
	json_object_put(request);
	return text;
}

static struct json_object *member(struct json_object *object, const char *name)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, name, &value);
	return value;
}

/* Our modules say "field: reason". */
static int refusal_read(struct json_object *error, struct fault *fault)
{
	const char *message = document_text(error, "message"), *end = message ? strstr(message, ": ") : NULL;
	int64_t code = document_integer(error, "code");
	char field[32] = "kamailio";

	if (end && (size_t)(end - message) < sizeof(field) && !memchr(message, ' ', (size_t)(end - message))) {
		snprintf(field, sizeof(field), "%.*s", (int)(end - message), message);
		message = end + 2;
	}
	return fault_set(fault, code >= 400 && code < 600 ? (int)code : FAULT_UNAVAILABLE, field, "%s",
			 message ? message : "refused");
}

static int answer_read(const char *text, size_t length, struct json_object **result, struct fault *fault)
{
	char reason[160];
	struct json_object *answer = document_parse(text, length, reason, sizeof(reason));
	struct json_object *found = answer ? member(answer, "result") : NULL, *error = member(answer, "error");
	int rc = 0;

	if (found)
		*result = json_object_get(found);
	else if (error)
		rc = refusal_read(error, fault);
	else
		rc = fault_set(fault, FAULT_UNAVAILABLE, "kamailio", "the answer %s",
			       answer ? "has no result" : reason);
	json_object_put(answer);
	return rc;
}

static int page_exchange(int fd, const char *path, const char *request, char *answer, struct json_object **result,
			 struct fault *fault)
{
	ssize_t n = send(fd, request, strlen(request), 0);

	n = n < 0 ? n : recv(fd, answer, ANSWER_SIZE, 0);
	if (n >= 0)
		return answer_read(answer, (size_t)n, result, fault);
	return errno == EAGAIN ? fault_set(fault, FAULT_TIMEOUT, "kamailio", "no answer in %d s", WAIT_S)
			       : socket_fault(path, fault);
}

static int page_ask(const char *path, const char *group, const char *after, struct json_object **result,
		    struct fault *fault)
{
	int fd = -1, rc = socket_open(path, &fd, fault);

	if (rc)
		return rc;
	char *request = request_text(group, after), *answer = malloc(ANSWER_SIZE);
	rc = request && answer ? page_exchange(fd, path, request, answer, result, fault)
			       : fault_set(fault, FAULT_UNAVAILABLE, "kamailio", "out of memory");
	close(fd);
	free(answer);
	free(request);
	return rc;
}

/* ------- all pages ------- */

/* Sorts a row into its place. Returns the name after which the next page starts, or NULL. */
static const char *row_take(struct json_object *sites, struct json_object *row)
{
	if (member(row, "next"))
		return document_text(row, "next");
	if (member(row, "node"))
		json_object_object_add(sites, "node", json_object_get(row));
	else
		json_object_array_add(member(sites, "items"), json_object_get(row));
	return NULL;
}

/* jsonrpcs gives one row as it is and several as a list. */
static void page_take(struct json_object *sites, struct json_object *page, char *after, size_t size)
{
	bool list = json_object_is_type(page, json_type_array);
	size_t count = list ? json_object_array_length(page) : 1;

	*after = '\0';
	for (size_t i = 0; i < count; i++) {
		struct json_object *row = list ? json_object_array_get_idx(page, i) : page;
		const char *next = json_object_is_type(row, json_type_object) ? row_take(sites, row) : NULL;
		if (next)
			snprintf(after, size, "%s", next);
	}
}

int sites_ask(const char *socket, const char *group, struct json_object **sites, struct fault *fault)
{
	struct json_object *all = json_object_new_object(), *page = NULL;
	char after[FIELD_NAME_MAX + 1] = "";
	int rc;

	json_object_object_add(all, "node", NULL);
	json_object_object_add(all, "items", json_object_new_array());
	do {
		rc = page_ask(socket, group, after, &page, fault);
		if (rc)
			break;
		page_take(all, page, after, sizeof(after));
		json_object_put(page);
	} while (*after);
	if (rc)
		json_object_put(all);
	else
		*sites = all;
	return rc;
}

/* ------- for people ------- */

static void text_put(struct json_object *row, const char *key, const char *text)
{
	json_object_object_add(row, key, json_object_new_string(text && *text ? text : "-"));
}

/* A number that may be unknown (-1, or not there). */
static void number_put(struct json_object *row, const char *key, struct json_object *value, const char *format,
		       double divisor)
{
	char text[48] = "-";

	if (value && json_object_get_int64(value) >= 0)
		snprintf(text, sizeof(text), divisor == 1 ? "%.0f%s" : "%.1f%s",
			 (double)json_object_get_int64(value) / divisor, format);
	text_put(row, key, text);
}

static void live_put(struct json_object *row, struct json_object *item)
{
	int64_t capacity = document_integer(item, "capacity");
	char limit[32] = "";

	if (capacity > 0)
		snprintf(limit, sizeof(limit), " of %lld", (long long)capacity);
	number_put(row, "live", member(item, "live"), limit, 1);
}

/* "sip:192.0.2.1:5060;transport=udp" takes too much room. */
static void address_put(struct json_object *row, const char *uri)
{
	static const char scheme[] = "sip:", transport[] = ";transport=";
	char text[320];

	snprintf(text, sizeof(text), "%s",
		 uri && strncmp(uri, scheme, sizeof(scheme) - 1) == 0 ? uri + sizeof(scheme) - 1
		 : uri                                                ? uri
								      : "");
	char *end = strstr(text, transport);
	if (end)
		memmove(end + 1, end + sizeof(transport) - 1, strlen(end + sizeof(transport) - 1) + 1);
	if (end)
		*end = '/';
	text_put(row, "address", text);
}

static struct json_object *row_make(struct json_object *item)
{
	struct json_object *row = json_object_new_object();
	const char *reason = document_text(item, "reason"), *dns = document_text(item, "dns");

	text_put(row, "peer", document_text(item, "name"));
	text_put(row, "group", document_text(item, "group"));
	text_put(row, "site", document_text(item, "site"));
	address_put(row, document_text(item, "address"));
	text_put(row, "administrative", document_text(item, "administrative"));
	text_put(row, "observed", document_text(item, "observed"));
	text_put(row, "since", document_text(item, "since"));
	number_put(row, "latency", member(item, "latency"), " ms", 1);
	live_put(row, item);
	number_put(row, "next probe", member(item, "next_probe"), " s", 1000);
	text_put(row, "why", dns && *dns ? dns : reason);
	return row;
}

struct json_object *sites_table(struct json_object *sites)
{
	struct json_object *table = json_object_new_array(), *items = member(sites, "items");

	for (size_t i = 0; i < json_object_array_length(items); i++)
		json_object_array_add(table, row_make(json_object_array_get_idx(items, i)));
	return table;
}

void sites_node(struct json_object *sites, char *text, size_t size)
{
	struct json_object *node = member(sites, "node"), *live = member(node, "live");
	const char *state = document_text(node, "node"), *since = document_text(node, "since");
	char calls[48] = "";

	if (live && json_object_get_int64(live) >= 0)
		snprintf(calls, sizeof(calls), ", live calls: %lld", (long long)json_object_get_int64(live));
	if (state && strcmp(state, "drain") == 0)
		snprintf(text, size, "draining since %s%s%s", since ? since : "-", calls,
			 live && json_object_get_int64(live) == 0 ? ", empty" : "");
	else
		snprintf(text, size, "in service%s", calls);
}
