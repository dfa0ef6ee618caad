/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The topology document: tables of keys, one reader for them, the rules between them, the difference of two. */
#include "topology_document.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "field.h"
#include "service.h"
#include "srtp_suite.h"
#include "topology_media.h"

enum { PATH_SIZE = 256, PRIORITY_MAX = 255, PORT_MAX = 65535, MINUTE_MS = 60000, SUITE_MAX = 60 };

/* --- rules of single values --- */

static const char *mode_fault(struct span text)
{
	return span_equal(text, SPAN_LIT("production")) || span_equal(text, SPAN_LIT("lab"))
		       ? NULL
		       : "must be production or lab";
}

static const char *side_fault(struct span text)
{
	enum side side;

	return side_parse(text, &side) ? "must be operator or service" : NULL;
}

static const char *transport_fault(struct span text)
{
	enum transport transport;

	return transport_parse(text, &transport) ? "must be UDP, TCP or TLS" : NULL;
}

static const char *media_fault(struct span text)
{
	enum media media;

	return media_parse(text, &media) ? "must be RTP, SRTP or SRTP-optional" : NULL;
}

static const char *service_fault(struct span text)
{
	return service_by_name(text) ? NULL : "is not a service that this gateway knows";
}

static const char *header_name_fault(struct span text)
{
	return text.len == 0 ? NULL : field_header_name_fault(text);
}

static const char *site_fault(struct span text)
{
	return text.len == 0 ? NULL : field_name_fault(text);
}

static const char *prefix_fault(struct span text)
{
	struct prefix prefix;

	return prefix_parse(text, &prefix) ? "must be an address or a prefix such as 192.0.2.0/24 without host bits"
					   : NULL;
}

static bool is_address(struct span text)
{
	struct prefix prefix;

	return !memchr(text.ptr, '/', text.len) && prefix_parse(text, &prefix) == 0;
}

static bool label_ok(const char *label, size_t length)
{
	if (length == 0 || length > 63 || label[0] == '-' || label[length - 1] == '-')
		return false;
	for (size_t i = 0; i < length; i++) {
		char c = label[i];
		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
		      c == '_'))
			return false;
	}
	return true;
}

/* Why nobody can be called at an address. */
static const char *host_address_fault(struct span text)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct prefix prefix;

	if (prefix_parse(text, &prefix) != 0)
		return "must be an address";
	if (memcmp(prefix.address, mapped, sizeof(mapped)) == 0 && memchr(text.ptr, ':', text.len))
		return "is an IPv4 address in IPv6: write it as IPv4";
	return address_fault(prefix.address);
}

/* A name whose last label is all digits is a mistyped address (RFC 1123 section 2.1). */
static const char *host_fault(struct span text)
{
	static const char reason[] = "must be an IPv4 or IPv6 address or a host name";
	size_t from = 0, digits = 0;

	if (text.len == 0 || text.len > TOPOLOGY_HOST_MAX)
		return text.len ? "is longer than 255 characters" : "is empty";
	if (is_address(text))
		return host_address_fault(text);
	for (size_t i = 0; i <= text.len; i++) {
		if (i < text.len && text.ptr[i] != '.')
			continue;
		if (!label_ok(text.ptr + from, i - from))
			return reason;
		if (i < text.len)
			from = i + 1;
	}
	while (from + digits < text.len && text.ptr[from + digits] >= '0' && text.ptr[from + digits] <= '9')
		digits++;
	return from + digits == text.len ? reason : NULL;
}

static bool port_ok(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	long port = strtol(text, NULL, 10);

	return digits >= 1 && digits <= 5 && text[digits] == '\0' && text[0] != '0' && port <= PORT_MAX;
}

/* A name in DNS, not an address. */
static const char *host_name_fault(struct span text)
{
	return text.len && is_address(text) ? "must be a host name" : host_fault(text);
}

/* The parsers take lists; here each name stands alone, and none is the default. */
static const char *name_fault(struct span text, int (*parse)(struct span, uint32_t *, struct span *))
{
	uint32_t set;
	int rc = text.len == 0 || text.len > SUITE_MAX ? -EINVAL : 0;

	for (size_t i = 0; i < text.len && rc == 0; i++)
		rc = strchr(" \t,;", text.ptr[i]) ? -EINVAL : 0;
	if (rc == 0)
		rc = parse(text, &set, NULL);
	return rc == 0 ? NULL : rc == -EPERM ? "does not encrypt" : "is not a name that this gateway knows";
}

static const char *suite_fault(struct span text)
{
	return name_fault(text, srtp_suites_parse);
}

static const char *profile_fault(struct span text)
{
	return name_fault(text, srtp_profiles_parse);
}

/* transport:address:port as Kamailio writes its sockets, IPv6 in brackets. "" = any. */
static const char *socket_fault(struct span text)
{
	static const char reason[] = "must be udp, tcp or tls, an address and a port, such as udp:192.0.2.1:5060";
	char copy[TOPOLOGY_HOST_MAX + 1];
	struct in6_addr ipv6;
	struct in_addr ipv4;

	if (text.len == 0)
		return NULL;
	if (text.len >= sizeof(copy))
		return "is longer than 255 characters";
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	if (strncmp(copy, "udp:", 4) && strncmp(copy, "tcp:", 4) && strncmp(copy, "tls:", 4))
		return reason;
	char *address = copy + 4, *port = strrchr(address, ':');
	if (!port || !port_ok(port + 1))
		return reason;
	*port = '\0';
	if (address[0] != '[')
		return inet_pton(AF_INET, address, &ipv4) == 1 ? NULL : reason;
	if (port[-1] != ']')
		return reason;
	port[-1] = '\0';
	return inet_pton(AF_INET6, address + 1, &ipv6) == 1 ? NULL : reason;
}

/* --- the keys --- */

#define MILLISECONDS(key, low, high, value)                                                                            \
	{                                                                                                              \
		.name = key, .kind = DOCUMENT_INTEGER, .min = low, .max = high, .initial = value                       \
	}

#define PREFIXES(key)                                                                                                  \
	{                                                                                                              \
		.name = key, .kind = DOCUMENT_TEXTS, .max = DOCUMENT_PREFIXES_MAX, .fault = prefix_fault               \
	}
#define NAMES(key, count, rule)                                                                                        \
	{                                                                                                              \
		.name = key, .kind = DOCUMENT_TEXTS, .max = count, .fault = rule                                       \
	}

const struct document_field document_settings[] = {
	{.name = "customSipHeader",
	 .kind = DOCUMENT_TEXT,
	 .initial_text = "X-MS-Operator-Content",
	 .fault = header_name_fault},
	{.name = "maskNumbers", .kind = DOCUMENT_BOOL, .initial = true},
	MILLISECONDS("probeIntervalMs", 0, 60 * MINUTE_MS, 5000),
	MILLISECONDS("probeTimeoutMs", 50, MINUTE_MS, 2000),
	MILLISECONDS("keepaliveIntervalMs", 100, 60 * MINUTE_MS, 60000),
	MILLISECONDS("silenceLimitMs", 100, MINUTE_MS, 2000),
	MILLISECONDS("progressLimitMs", 100, 3 * MINUTE_MS, 10000),
	{.name = "downAfter", .kind = DOCUMENT_INTEGER, .min = 1, .max = 100, .initial = 2},
	{.name = "upAfter", .kind = DOCUMENT_INTEGER, .min = 1, .max = 100, .initial = 2},
	{.name = "maxTries", .kind = DOCUMENT_INTEGER, .min = 1, .max = 16, .initial = 4},
	MILLISECONDS("maxCallMs", 100, 5 * MINUTE_MS, 30000),
	MILLISECONDS("slowStartMs", 0, 60 * MINUTE_MS, 10000),
	MILLISECONDS("drainGraceMs", 0, 60 * MINUTE_MS, 130000),
	{0}};

static const struct document_field service_fields[] = {
	{.name = "name", .kind = DOCUMENT_TEXT, .required = true, .fault = service_fault},
	{.name = "peerGroup", .kind = DOCUMENT_TEXT, .required = true, .fault = field_name_fault},
	{.name = "operatorPeerGroup", .kind = DOCUMENT_TEXT, .required = true, .fault = field_name_fault},
	{0}};

static const struct document_field peer_fields[] = {
	{.name = "name", .kind = DOCUMENT_TEXT, .required = true, .fault = field_name_fault},
	{.name = "site", .kind = DOCUMENT_TEXT, .initial_text = "", .fault = site_fault},
	{.name = "host", .kind = DOCUMENT_TEXT, .required = true, .fault = host_fault},
	{.name = "port", .kind = DOCUMENT_INTEGER, .min = 1, .max = PORT_MAX, .omitted = true},
	{.name = "priority", .kind = DOCUMENT_PRIORITY},
	{.name = "weight", .kind = DOCUMENT_INTEGER, .max = 65535, .initial = 100},
	{.name = "capacity", .kind = DOCUMENT_INTEGER, .max = 1000000},
	{.name = "callsPerSecond", .kind = DOCUMENT_INTEGER, .max = 100000},
	PREFIXES("allowedSignalingSourceAddressPrefixes"),
	PREFIXES("allowedMediaSourceAddressPrefixes"),
	{0}};

static const struct document_field group_fields[] = {
	{.name = "name", .kind = DOCUMENT_TEXT, .required = true, .fault = field_name_fault},
	{.name = "side", .kind = DOCUMENT_TEXT, .required = true, .fault = side_fault},
	{.name = "signalling", .kind = DOCUMENT_TEXT, .required = true, .fault = transport_fault},
	{.name = "media", .kind = DOCUMENT_TEXT, .required = true, .fault = media_fault},
	{.name = "defaultService", .kind = DOCUMENT_TEXT, .omitted = true, .fault = service_fault},
	{.name = "localSocket", .kind = DOCUMENT_TEXT, .initial_text = "", .fault = socket_fault},
	NAMES("srtpSuites", DOCUMENT_SUITES_MAX, suite_fault),
	NAMES("dtlsProfiles", DOCUMENT_SUITES_MAX, profile_fault),
	NAMES("keepaliveNames", DOCUMENT_NAMES_MAX, host_name_fault),
	{.name = "peers", .kind = DOCUMENT_OBJECTS, .required = true, .max = DOCUMENT_PEERS_MAX, .fields = peer_fields},
	{0}};

/* mode and peerGroups are required so that "{}" does not take every peer away. */
static const struct document_field document_fields[] = {
	{.name = "mode", .kind = DOCUMENT_TEXT, .required = true, .fault = mode_fault},
	{.name = "settings", .kind = DOCUMENT_OBJECT, .fields = document_settings},
	{.name = "services", .kind = DOCUMENT_OBJECTS, .max = 100, .fields = service_fields},
	{.name = "peerGroups",
	 .kind = DOCUMENT_OBJECTS,
	 .required = true,
	 .max = DOCUMENT_GROUPS_MAX,
	 .fields = group_fields},
	{0}};

/* --- reading by the tables --- */

static int field_read(const struct document_field *field, struct json_object *value, const char *path,
		      struct json_object **out, struct fault *fault);

static int text_check(struct json_object *value, const char *(*rule)(struct span), const char *path,
		      struct fault *fault)
{
	if (!json_object_is_type(value, json_type_string))
		return fault_set(fault, FAULT_BAD_VALUE, path, "must be text");
	struct span text = {json_object_get_string(value), (size_t)json_object_get_string_len(value)};
	if (memchr(text.ptr, '\0', text.len))
		return fault_set(fault, FAULT_BAD_VALUE, path, "holds a NUL character");
	const char *reason = rule(text);
	if (!reason)
		return 0;
	char quoted[64];
	return fault_set(fault, FAULT_BAD_VALUE, path, "%s: '%s'", reason,
			 fault_quote(text.ptr, quoted, sizeof(quoted)));
}

static int integer_check(struct json_object *value, int64_t min, int64_t max, const char *path, struct fault *fault)
{
	int64_t number = json_object_get_int64(value);

	if (!json_object_is_type(value, json_type_int) || number < min || number > max)
		return fault_set(fault, FAULT_BAD_VALUE, path, "must be a whole number from %lld to %lld",
				 (long long)min, (long long)max);
	return 0;
}

static void path_key(char path[PATH_SIZE], const char *parent, const char *key)
{
	char quoted[80];

	snprintf(path, PATH_SIZE, "%s%s%s", parent, *parent ? "." : "",
		 *key ? fault_quote(key, quoted, sizeof(quoted)) : "\"\"");
}

static void path_index(char path[PATH_SIZE], const char *parent, size_t index)
{
	snprintf(path, PATH_SIZE, "%s[%zu]", parent, index);
}

static int keys_check(struct json_object *object, const struct document_field *fields, const char *path,
		      struct fault *fault)
{
	json_object_object_foreach(object, key, value)
	{
		const struct document_field *field = fields;
		(void)value;
		while (field->name && strcmp(field->name, key) != 0)
			field++;
		if (!field->name) {
			char name[PATH_SIZE];
			path_key(name, path, key);
			return fault_set(fault, FAULT_BAD_VALUE, name, "is no key of the topology document");
		}
	}
	return 0;
}

static int object_read(const struct document_field *fields, struct json_object *object, const char *path,
		       struct json_object **out, struct fault *fault)
{
	if (!json_object_is_type(object, json_type_object))
		return fault_set(fault, FAULT_BAD_VALUE, *path ? path : "document", "must be an object");
	int rc = keys_check(object, fields, path, fault);
	struct json_object *whole = json_object_new_object();
	for (const struct document_field *field = fields; field->name && rc == 0; field++) {
		struct json_object *value = NULL, *read = NULL;
		char name[PATH_SIZE];
		bool given = json_object_object_get_ex(object, field->name, &value);
		path_key(name, path, field->name);
		if (!given && field->required)
			rc = fault_set(fault, FAULT_BAD_VALUE, name, "is missing");
		else if (given && !value)
			rc = fault_set(fault, FAULT_BAD_VALUE, name, "is null");
		else if (given || !field->omitted)
			rc = field_read(field, value, name, &read, fault);
		if (read)
			json_object_object_add(whole, field->name, read);
	}
	if (rc)
		json_object_put(whole);
	else
		*out = whole;
	return rc;
}

static int objects_read(const struct document_field *field, struct json_object *list, const char *path,
			struct json_object **out, struct fault *fault)
{
	if (list && !json_object_is_type(list, json_type_array))
		return fault_set(fault, FAULT_BAD_VALUE, path, "must be a list");
	size_t count = list ? json_object_array_length(list) : 0;
	if (count > (size_t)field->max)
		return fault_set(fault, FAULT_BAD_VALUE, path, "has %zu entries, more than %lld", count,
				 (long long)field->max);
	struct json_object *whole = json_object_new_array();
	for (size_t i = 0; i < count; i++) {
		struct json_object *entry = NULL;
		char name[PATH_SIZE];
		path_index(name, path, i);
		int rc = object_read(field->fields, json_object_array_get_idx(list, i), name, &entry, fault);
		if (rc) {
			json_object_put(whole);
			return rc;
		}
		json_object_array_add(whole, entry);
	}
	*out = whole;
	return 0;
}

static int text_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Twice the same in one list is a slip of the pen. */
static int texts_unique(struct json_object *list, const char *path, struct fault *fault)
{
	size_t count = json_object_array_length(list);
	const char **sorted = calloc(count + 1, sizeof(*sorted));
	int rc = 0;

	if (!sorted)
		return fault_set(fault, FAULT_UNAVAILABLE, path, "out of memory");
	for (size_t i = 0; i < count; i++)
		sorted[i] = json_object_get_string(json_object_array_get_idx(list, i));
	qsort(sorted, count, sizeof(*sorted), text_compare);
	for (size_t i = 1; i < count && rc == 0; i++)
		if (strcmp(sorted[i - 1], sorted[i]) == 0)
			rc = fault_set(fault, FAULT_CONFLICT, path, "has %s twice", sorted[i]);
	free(sorted);
	return rc;
}

static int texts_read(const struct document_field *field, struct json_object *list, const char *path,
		      struct json_object **out, struct fault *fault)
{
	if (list && !json_object_is_type(list, json_type_array))
		return fault_set(fault, FAULT_BAD_VALUE, path, "must be a list");
	size_t count = list ? json_object_array_length(list) : 0;
	if (count > (size_t)field->max)
		return fault_set(fault, FAULT_BAD_VALUE, path, "has %zu entries, more than %lld", count,
				 (long long)field->max);
	struct json_object *whole = json_object_new_array();
	int rc = 0;
	for (size_t i = 0; i < count && rc == 0; i++) {
		struct json_object *value = json_object_array_get_idx(list, i);
		char name[PATH_SIZE];
		path_index(name, path, i);
		rc = text_check(value, field->fault, name, fault);
		if (rc == 0)
			json_object_array_add(whole, json_object_get(value));
	}
	if (rc == 0)
		rc = texts_unique(whole, path, fault);
	if (rc)
		json_object_put(whole);
	else
		*out = whole;
	return rc;
}

/* A number, or one a region: {"east": 0, "west": 1}; a region that is not named gets "default", or the last place. */
static int priority_read(struct json_object *value, const char *path, struct json_object **out, struct fault *fault)
{
	int rc = 0;

	if (!value) {
		*out = json_object_new_int(0);
		return 0;
	}
	if (!json_object_is_type(value, json_type_object)) {
		rc = integer_check(value, 0, PRIORITY_MAX, path, fault);
	} else if (json_object_object_length(value) == 0) {
		rc = fault_set(fault, FAULT_BAD_VALUE, path, "names no region");
	} else {
		json_object_object_foreach(value, region, priority)
		{
			char name[PATH_SIZE];
			path_key(name, path, region);
			const char *reason = field_name_fault(span_of(region));
			if (reason)
				return fault_set(fault, FAULT_BAD_VALUE, name, "as a region %s", reason);
			rc = integer_check(priority, 0, PRIORITY_MAX, name, fault);
			if (rc)
				return rc;
		}
	}
	if (rc == 0)
		*out = json_object_get(value);
	return rc;
}

static int scalar_read(const struct document_field *field, struct json_object *value, const char *path,
		       struct json_object **out, struct fault *fault)
{
	int rc = 0;

	if (!value) {
		*out = field->kind == DOCUMENT_TEXT   ? json_object_new_string(field->initial_text)
		       : field->kind == DOCUMENT_BOOL ? json_object_new_boolean((json_bool)field->initial)
						      : json_object_new_int64(field->initial);
		return 0;
	}
	if (field->kind == DOCUMENT_TEXT)
		rc = text_check(value, field->fault, path, fault);
	else if (field->kind == DOCUMENT_INTEGER)
		rc = integer_check(value, field->min, field->max, path, fault);
	else if (!json_object_is_type(value, json_type_boolean))
		rc = fault_set(fault, FAULT_BAD_VALUE, path, "must be true or false");
	if (rc == 0)
		*out = json_object_get(value);
	return rc;
}

static int field_read(const struct document_field *field, struct json_object *value, const char *path,
		      struct json_object **out, struct fault *fault)
{
	struct json_object *nothing = NULL;
	int rc;

	switch (field->kind) {
	case DOCUMENT_OBJECT:
		nothing = value ? NULL : json_object_new_object();
		rc = object_read(field->fields, value ? value : nothing, path, out, fault);
		json_object_put(nothing);
		return rc;
	case DOCUMENT_OBJECTS:
		return objects_read(field, value, path, out, fault);
	case DOCUMENT_TEXTS:
		return texts_read(field, value, path, out, fault);
	case DOCUMENT_PRIORITY:
		return priority_read(value, path, out, fault);
	default:
		return scalar_read(field, value, path, out, fault);
	}
}

/* --- rules between values --- */

static struct json_object *member(struct json_object *object, const char *name)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, name, &value);
	return value;
}

const char *document_text(struct json_object *object, const char *name)
{
	struct json_object *value = member(object, name);

	return value ? json_object_get_string(value) : NULL;
}

int64_t document_integer(struct json_object *object, const char *name)
{
	return json_object_get_int64(member(object, name));
}

/* Names seen so far; the value is not needed. */
static int name_claim(struct json_object *names, struct json_object *object, const char *path, const char *what,
		      struct fault *fault)
{
	const char *name = document_text(object, "name");
	char field[PATH_SIZE];

	if (!json_object_object_get_ex(names, name, NULL)) {
		json_object_object_add(names, name, json_object_get(object));
		return 0;
	}
	snprintf(field, sizeof(field), "%s.name", path);
	return fault_set(fault, FAULT_CONFLICT, field, "another %s is called %s", what, name);
}

/* SRV records name the port (RFC 2782). */
static int peer_port_check(struct json_object *peer, const char *path, struct fault *fault)
{
	char field[PATH_SIZE];

	if (document_text(peer, "host")[0] != '_' || !member(peer, "port"))
		return 0;
	snprintf(field, sizeof(field), "%s.port", path);
	return fault_set(fault, FAULT_BAD_VALUE, field, "does not go with a name of SRV records, which have their own");
}

static int peers_check(struct json_object *peers, const char *path, struct json_object *names, struct fault *fault)
{
	int rc = 0;

	for (size_t i = 0; i < json_object_array_length(peers) && rc == 0; i++) {
		char name[PATH_SIZE];
		snprintf(name, sizeof(name), "%s.peers[%zu]", path, i);
		rc = name_claim(names, json_object_array_get_idx(peers, i), name, "peer", fault);
		if (rc == 0)
			rc = peer_port_check(json_object_array_get_idx(peers, i), name, fault);
	}
	return rc;
}

/* "none" is no DTLS-SRTP at all. */
static int profiles_check(struct json_object *group, const char *path, struct fault *fault)
{
	struct json_object *list = member(group, "dtlsProfiles");
	char field[PATH_SIZE];

	snprintf(field, sizeof(field), "%s.dtlsProfiles", path);
	for (size_t i = 0; i < json_object_array_length(list) && json_object_array_length(list) > 1; i++)
		if (strcmp(json_object_get_string(json_object_array_get_idx(list, i)), "none") == 0)
			return fault_set(fault, FAULT_BAD_VALUE, field, "has none beside others");
	return 0;
}

static int group_check(struct json_object *group, const char *path, struct json_object *service_names,
		       struct fault *fault)
{
	static const char *const schemes[][2] = {{"UDP", "udp:"}, {"TCP", "tcp:"}, {"TLS", "tls:"}};
	const char *socket = document_text(group, "localSocket"), *service = document_text(group, "defaultService");
	const char *signalling = document_text(group, "signalling");
	char field[PATH_SIZE];

	snprintf(field, sizeof(field), "%s.localSocket", path);
	for (size_t i = 0; i < 3 && *socket; i++)
		if (strcmp(signalling, schemes[i][0]) == 0 && strncmp(socket, schemes[i][1], 4) != 0)
			return fault_set(fault, FAULT_BAD_VALUE, field, "does not fit signalling %s", signalling);
	snprintf(field, sizeof(field), "%s.defaultService", path);
	if (service && strcmp(document_text(group, "side"), "operator") != 0)
		return fault_set(fault, FAULT_BAD_VALUE, field, "belongs to the operator side only");
	if (service && !json_object_object_get_ex(service_names, service, NULL))
		return fault_set(fault, FAULT_BAD_VALUE, field, "%s is not in services", service);
	return profiles_check(group, path, fault);
}

static int groups_check(struct json_object *groups, struct json_object *group_names, struct json_object *service_names,
			struct fault *fault)
{
	struct json_object *peer_names = json_object_new_object();
	int rc = 0;

	for (size_t i = 0; i < json_object_array_length(groups) && rc == 0; i++) {
		struct json_object *group = json_object_array_get_idx(groups, i);
		char path[PATH_SIZE];
		path_index(path, "peerGroups", i);
		rc = name_claim(group_names, group, path, "peer group", fault);
		if (rc == 0)
			rc = group_check(group, path, service_names, fault);
		if (rc == 0)
			rc = peers_check(member(group, "peers"), path, peer_names, fault);
	}
	json_object_put(peer_names);
	return rc;
}

static int reference_check(struct json_object *service, const char *path, const char *key, const char *side,
			   struct json_object *group_names, struct fault *fault)
{
	const char *name = document_text(service, key);
	struct json_object *group = member(group_names, name);
	char field[PATH_SIZE];

	snprintf(field, sizeof(field), "%s.%s", path, key);
	if (!group)
		return fault_set(fault, FAULT_BAD_VALUE, field, "%s is not in peerGroups", name);
	if (strcmp(document_text(group, "side"), side) != 0)
		return fault_set(fault, FAULT_BAD_VALUE, field, "%s is not a group of the %s side", name, side);
	return 0;
}

/* A call from a group is a call of the service that it serves, so it serves one. */
static int service_group_claim(struct json_object *groups, struct json_object *service, const char *path,
			       struct fault *fault)
{
	const char *group = document_text(service, "peerGroup");
	struct json_object *other = NULL;
	char field[PATH_SIZE];

	if (!json_object_object_get_ex(groups, group, &other)) {
		json_object_object_add(groups, group, json_object_get(service));
		return 0;
	}
	snprintf(field, sizeof(field), "%s.peerGroup", path);
	return fault_set(fault, FAULT_CONFLICT, field, "%s serves %s already: give this service a group of its own",
			 group, document_text(other, "name"));
}

static int services_check(struct json_object *services_list, struct json_object *group_names, struct fault *fault)
{
	struct json_object *claimed = json_object_new_object();
	int rc = 0;

	for (size_t i = 0; i < json_object_array_length(services_list) && rc == 0; i++) {
		struct json_object *service = json_object_array_get_idx(services_list, i);
		char path[PATH_SIZE];
		path_index(path, "services", i);
		rc = reference_check(service, path, "peerGroup", "service", group_names, fault);
		if (rc == 0)
			rc = reference_check(service, path, "operatorPeerGroup", "operator", group_names, fault);
		if (rc == 0)
			rc = service_group_claim(claimed, service, path, fault);
	}
	json_object_put(claimed);
	return rc;
}

static int service_names_check(struct json_object *services_list, struct json_object *names, struct fault *fault)
{
	int rc = 0;

	for (size_t i = 0; i < json_object_array_length(services_list) && rc == 0; i++) {
		char path[PATH_SIZE];
		path_index(path, "services", i);
		rc = name_claim(names, json_object_array_get_idx(services_list, i), path, "service", fault);
	}
	return rc;
}

/* One source prefix of one peer, in the order in which a sender would be looked up. */
struct source {
	struct prefix prefix;
	const char *signalling, *socket;
	size_t group, peer, index;
	bool host; /**< the peer's host itself: it names no prefixes */
};

static int source_compare(const void *left, const void *right)
{
	const struct source *a = left, *b = right;
	int order = memcmp(a->prefix.address, b->prefix.address, sizeof(a->prefix.address));

	if (order == 0)
		order = a->prefix.length - b->prefix.length;
	if (order == 0)
		order = strcmp(a->signalling, b->signalling);
	if (order == 0)
		order = strcmp(a->socket, b->socket);
	if (order == 0)
		order = (a->group > b->group) - (a->group < b->group);
	return order;
}

static size_t sources_of_peer(struct json_object *peer, struct source source, struct source *sources)
{
	struct json_object *prefixes = member(peer, "allowedSignalingSourceAddressPrefixes");
	size_t count = json_object_array_length(prefixes);
	struct span host = span_of(document_text(peer, "host"));

	for (size_t i = 0; i < count && sources; i++) {
		source.index = i;
		sources[i] = source;
		prefix_parse(span_of(json_object_get_string(json_object_array_get_idx(prefixes, i))),
			     &sources[i].prefix);
	}
	if (count > 0 || !is_address(host))
		return count;
	if (sources) {
		source.host = true;
		sources[0] = source;
		prefix_parse(host, &sources[0].prefix);
	}
	return 1;
}

/* Counts them if @p sources is NULL. */
static size_t sources_collect(struct json_object *groups, struct source *sources)
{
	size_t count = 0;

	for (size_t g = 0; g < json_object_array_length(groups); g++) {
		struct json_object *group = json_object_array_get_idx(groups, g), *peers = member(group, "peers");
		struct source source = {.signalling = document_text(group, "signalling"),
					.socket = document_text(group, "localSocket"),
					.group = g};
		for (source.peer = 0; source.peer < json_object_array_length(peers); source.peer++)
			count += sources_of_peer(json_object_array_get_idx(peers, source.peer), source,
						 sources ? sources + count : NULL);
	}
	return count;
}

/* Both groups would be meant by the same packet: same transport, and no two sockets that keep them apart. */
static bool source_clash(const struct source *a, const struct source *b)
{
	return a->group != b->group && a->prefix.length == b->prefix.length &&
	       memcmp(a->prefix.address, b->prefix.address, sizeof(a->prefix.address)) == 0 &&
	       strcmp(a->signalling, b->signalling) == 0 &&
	       (!*a->socket || !*b->socket || strcmp(a->socket, b->socket) == 0);
}

static int source_fault(const struct source *source, const struct source *other, struct json_object *groups,
			struct fault *fault)
{
	struct json_object *group = json_object_array_get_idx(groups, other->group);
	char path[PATH_SIZE], index[32] = "";

	if (!source->host)
		snprintf(index, sizeof(index), "[%zu]", source->index);
	snprintf(path, sizeof(path), "peerGroups[%zu].peers[%zu].%s%s", source->group, source->peer,
		 source->host ? "host" : "allowedSignalingSourceAddressPrefixes", index);
	return fault_set(fault, FAULT_CONFLICT, path,
			 "is a source of group %s too, with the same transport and no other localSocket",
			 document_text(group, "name"));
}

/* "" sorts before every socket, so a clash is with the first of a run of equal prefixes or with the one before. */
static int sources_check(struct json_object *groups, struct fault *fault)
{
	size_t count = sources_collect(groups, NULL), first = 0;
	struct source *sources = calloc(count + 1, sizeof(*sources));
	int rc = 0;

	if (!sources)
		return fault_set(fault, FAULT_UNAVAILABLE, "document", "out of memory");
	sources_collect(groups, sources);
	qsort(sources, count, sizeof(*sources), source_compare);
	for (size_t i = 1; i < count && rc == 0; i++) {
		if (memcmp(&sources[first].prefix, &sources[i].prefix, sizeof(sources[i].prefix)) ||
		    strcmp(sources[first].signalling, sources[i].signalling) != 0)
			first = i;
		if (source_clash(&sources[first], &sources[i]))
			rc = source_fault(&sources[i], &sources[first], groups, fault);
		else if (source_clash(&sources[i - 1], &sources[i]))
			rc = source_fault(&sources[i], &sources[i - 1], groups, fault);
	}
	free(sources);
	return rc;
}

static int document_check(struct json_object *document, struct fault *fault)
{
	struct json_object *service_names = json_object_new_object(), *group_names = json_object_new_object();
	struct json_object *groups = member(document, "peerGroups");
	int rc = service_names_check(member(document, "services"), service_names, fault);

	if (rc == 0)
		rc = groups_check(groups, group_names, service_names, fault);
	if (rc == 0)
		rc = services_check(member(document, "services"), group_names, fault);
	if (rc == 0)
		rc = sources_check(groups, fault);
	if (rc == 0)
		rc = topology_media_check(document, fault);
	json_object_put(service_names);
	json_object_put(group_names);
	return rc;
}

/* --- the text --- */

static void position_find(const char *text, size_t offset, size_t *line, size_t *column)
{
	*line = *column = 1;
	for (size_t i = 0; i < offset; i++) {
		*column = text[i] == '\n' ? 1 : *column + 1;
		*line += text[i] == '\n';
	}
}

static size_t members_count(struct json_object *value)
{
	size_t count = 0;

	if (json_object_is_type(value, json_type_array))
		for (size_t i = 0; i < json_object_array_length(value); i++)
			count += members_count(json_object_array_get_idx(value, i));
	if (!json_object_is_type(value, json_type_object))
		return count;
	json_object_object_foreach(value, key, content)
	{
		(void)key;
		count += 1 + members_count(content);
	}
	return count;
}

/* The tree keeps only the last of two members with one key. In good JSON each member has one ':' outside of strings. */
static bool keys_unique(const char *text, size_t length, struct json_object *object)
{
	bool quoted = false;
	size_t colons = 0;

	for (size_t i = 0; i < length; i++) {
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else
			colons += !quoted && text[i] == ':';
	}
	return colons == members_count(object);
}

struct json_object *document_parse(const char *text, size_t length, char *reason, size_t size)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *object = NULL;
	size_t line, column;

	if (!tokener || length > INT32_MAX - 1) {
		snprintf(reason, size, tokener ? "is too long" : "out of memory");
		json_tokener_free(tokener);
		return NULL;
	}
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, text, (int)length);
	enum json_tokener_error error = json_tokener_get_error(tokener);
	size_t end = json_tokener_get_parse_end(tokener);
	position_find(text, end < length ? end : length, &line, &column);
	json_tokener_free(tokener);
	if (error == json_tokener_continue || (error == json_tokener_success && !object))
		snprintf(reason, size, length ? "is not whole JSON" : "is empty");
	else if (error != json_tokener_success)
		snprintf(reason, size, "is not JSON: line %zu, column %zu: %s", line, column,
			 json_tokener_error_desc(error));
	else if (end < length && strspn(text + end, " \t\r\n") < length - end)
		snprintf(reason, size, "goes on after its end at line %zu, column %zu", line, column);
	else if (!keys_unique(text, end, object))
		snprintf(reason, size, "a key stands twice in one object");
	else
		return object;
	json_object_put(object);
	return NULL;
}

const char *document_list(struct json_object *object, const char *key, char text[TOPOLOGY_LIST_MAX + 1])
{
	struct json_object *list = member(object, key);
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < json_object_array_length(list) && used < TOPOLOGY_LIST_MAX; i++)
		used += (size_t)snprintf(text + used, TOPOLOGY_LIST_MAX + 1 - used, "%s%s", i ? " " : "",
					 json_object_get_string(json_object_array_get_idx(list, i)));
	return text;
}

int topology_document_read(const char *text, size_t length, struct json_object **document, struct fault *fault)
{
	char reason[160];
	struct json_object *given = document_parse(text, length, reason, sizeof(reason)), *whole = NULL;

	if (!given)
		return fault_set(fault, FAULT_BAD_VALUE, "document", "%s", reason);
	int rc = object_read(document_fields, given, "", &whole, fault);
	json_object_put(given);
	if (rc == 0)
		rc = document_check(whole, fault);
	if (rc)
		json_object_put(whole);
	else
		*document = whole;
	return rc;
}

struct json_object *topology_document_empty(void)
{
	static const char text[] = "{\"mode\":\"production\",\"peerGroups\":[]}";
	struct json_object *document = NULL;
	struct fault fault;

	return topology_document_read(text, sizeof(text) - 1, &document, &fault) ? NULL : document;
}

/* --- the difference --- */

static bool has_objects(struct json_object *list)
{
	return json_object_array_length(list) > 0 &&
	       json_object_is_type(json_object_array_get_idx(list, 0), json_type_object);
}

/* Values that a person reads at a glance; long lists and whole objects are named only. */
static bool is_short(struct json_object *value)
{
	return json_object_is_type(value, json_type_array)
		       ? json_object_array_length(value) <= 16 && !has_objects(value)
		       : !json_object_is_type(value, json_type_object);
}

static void difference_add(struct json_object *list, const char *path, struct json_object *before,
			   struct json_object *after)
{
	struct json_object *change = json_object_new_object();

	json_object_object_add(change, "path", json_object_new_string(path));
	json_object_object_add(change, "change",
			       json_object_new_string(!before  ? "added"
						      : !after ? "removed"
							       : "changed"));
	if (before && after && is_short(before) && is_short(after)) {
		json_object_object_add(change, "from", json_object_get(before));
		json_object_object_add(change, "to", json_object_get(after));
	}
	json_object_array_add(list, change);
}

static void difference_walk(struct json_object *list, const char *path, struct json_object *before,
			    struct json_object *after);

/* A list of named objects as one object by name; NULL for lists of anything else. */
static struct json_object *by_name(struct json_object *list)
{
	struct json_object *names = json_object_new_object();

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);
		const char *name = json_object_is_type(entry, json_type_object) ? document_text(entry, "name") : NULL;
		if (name)
			json_object_object_add(names, name, json_object_get(entry));
	}
	return names;
}

static void child_path(char path[PATH_SIZE], const char *parent, const char *key, bool named)
{
	snprintf(path, PATH_SIZE, named ? "%s[%s]" : *parent ? "%s.%s" : "%s%s", parent, key);
}

static void difference_members(struct json_object *list, const char *path, struct json_object *before,
			       struct json_object *after, bool named)
{
	char name[PATH_SIZE];

	json_object_object_foreach(before, old_key, old_value)
	{
		child_path(name, path, old_key, named);
		difference_walk(list, name, old_value, member(after, old_key));
	}
	json_object_object_foreach(after, key, value)
	{
		child_path(name, path, key, named);
		if (!json_object_object_get_ex(before, key, NULL))
			difference_add(list, name, NULL, value);
	}
}

static void difference_walk(struct json_object *list, const char *path, struct json_object *before,
			    struct json_object *after)
{
	if (!after || json_object_equal(before, after)) {
		if (!after)
			difference_add(list, path, before, NULL);
		return;
	}
	size_t count = json_object_array_length(list);
	if (json_object_is_type(before, json_type_object) && json_object_is_type(after, json_type_object)) {
		difference_members(list, path, before, after, false);
	} else if (json_object_is_type(before, json_type_array) && (has_objects(before) || has_objects(after))) {
		struct json_object *old_names = by_name(before), *names = by_name(after);
		difference_members(list, path, old_names, names, true);
		json_object_put(old_names);
		json_object_put(names);
	}
	if (json_object_array_length(list) == count) /* a value, or only the order of a list */
		difference_add(list, path, before, after);
}

struct json_object *topology_document_difference(struct json_object *before, struct json_object *after)
{
	struct json_object *list = json_object_new_array();

	difference_members(list, "", before, after, false);
	return list;
}
