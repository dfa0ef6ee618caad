/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The topology in the store. */
#include "topology_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service.h"
#include "topology_document.h"

enum { PRIORITY_LAST = 255 };

static const struct {
	const char *key, *kind;
} prefix_kinds[] = {{"allowedSignalingSourceAddressPrefixes", "signalling"},
		    {"allowedMediaSourceAddressPrefixes", "media"}};
enum { PREFIX_KINDS = sizeof(prefix_kinds) / sizeof(*prefix_kinds) };

/* Lists of a group that are kept as one text, in the order of their columns. */
static const char *const group_lists[] = {"srtpSuites", "dtlsProfiles", "keepaliveNames"};
enum { GROUP_LISTS = sizeof(group_lists) / sizeof(*group_lists) };

static struct json_object *member(struct json_object *object, const char *name)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(object, name, &value);
	return value;
}

static int64_t service_number(const char *name)
{
	return name ? service_by_name(span_of(name))->id : 0;
}

/* --- document -> tables --- */

static const char setting_sql[] = "INSERT INTO setting (name, value) VALUES (?, ?)"
				  " ON CONFLICT (name) DO UPDATE SET value = excluded.value";

static int settings_write(struct store *store, struct json_object *document)
{
	struct json_object *settings = member(document, "settings");
	int rc = store_run(store, setting_sql, "tt", "mode", document_text(document, "mode"));

	for (const struct document_field *field = document_settings; field->name && rc == 0; field++) {
		if (field->kind == DOCUMENT_TEXT)
			rc = store_run(store, setting_sql, "tt", field->name, document_text(settings, field->name));
		else
			rc = store_run(store, setting_sql, "ti", field->name, document_integer(settings, field->name));
	}
	return rc;
}

static int priority_write(struct store *store, int64_t peer, struct json_object *priority)
{
	static const char sql[] = "INSERT INTO peer_priority (peer, region, priority) VALUES (?, ?, ?)";
	int rc = 0;

	if (!json_object_is_type(priority, json_type_object))
		return store_run(store, sql, "iti", peer, "", json_object_get_int64(priority));
	json_object_object_foreach(priority, region, value)
	{
		if (rc == 0)
			rc = store_run(store, sql, "iti", peer, region, json_object_get_int64(value));
	}
	return rc;
}

static int prefixes_write(struct store *store, int64_t peer, const char *kind, struct json_object *list)
{
	int rc = 0;

	for (size_t i = 0; i < json_object_array_length(list) && rc == 0; i++)
		rc = store_run(store, "INSERT INTO peer_prefix (peer, kind, position, prefix) VALUES (?, ?, ?, ?)",
			       "itit", peer, kind, (int64_t)i,
			       json_object_get_string(json_object_array_get_idx(list, i)));
	return rc;
}

static int peer_details_write(struct store *store, int64_t peer, struct json_object *object)
{
	int rc = store_run(store, "DELETE FROM peer_priority WHERE peer = ?", "i", peer);

	if (rc == 0)
		rc = store_run(store, "DELETE FROM peer_prefix WHERE peer = ?", "i", peer);
	if (rc == 0)
		rc = priority_write(store, peer, member(object, "priority"));
	for (size_t i = 0; i < PREFIX_KINDS && rc == 0; i++)
		rc = prefixes_write(store, peer, prefix_kinds[i].kind, member(object, prefix_kinds[i].key));
	return rc;
}

/* No ON CONFLICT: that would use up an id each time, and dialog tokens have 24 bits for them. */
static int peer_row_write(struct store *store, int64_t group, int64_t position, struct json_object *object)
{
	static const char *const statements[] = {
		"UPDATE peer SET peer_group = ?, position = ?, site = ?, host = ?, port = ?, weight = ?, capacity = ?,"
		" calls_per_second = ? WHERE name = ?",
		"INSERT INTO peer (peer_group, position, site, host, port, weight, capacity, calls_per_second, name)"
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"};
	int rc = 0;

	for (size_t i = 0; i < 2 && rc == 0; i++) {
		rc = store_run(store, statements[i], "iittiiiit", group, position, document_text(object, "site"),
			       document_text(object, "host"), document_integer(object, "port"),
			       document_integer(object, "weight"), document_integer(object, "capacity"),
			       document_integer(object, "callsPerSecond"), document_text(object, "name"));
		if (sqlite3_changes(store->db) > 0)
			break;
	}
	return rc;
}

static int peer_write(struct store *store, int64_t group, int64_t position, struct json_object *object)
{
	int64_t peer = 0;
	int rc = peer_row_write(store, group, position, object);

	if (rc == 0)
		rc = store_integer(store, &peer, "SELECT id FROM peer WHERE name = ?", "t",
				   document_text(object, "name"));
	return rc ? rc : peer_details_write(store, peer, object);
}

static int group_row_write(struct store *store, int64_t position, struct json_object *object)
{
	static const char *const statements[] = {
		"UPDATE peer_group SET position = ?, side = ?, signalling = ?, media = ?, default_service = ?,"
		" local_socket = ?, srtp_suites = ?, dtls_profiles = ?, keepalive_names = ? WHERE name = ?",
		"INSERT INTO peer_group (position, side, signalling, media, default_service, local_socket, srtp_suites,"
		" dtls_profiles, keepalive_names, name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"};
	char lists[GROUP_LISTS][TOPOLOGY_LIST_MAX + 1];
	int rc = 0;

	for (size_t i = 0; i < GROUP_LISTS; i++)
		document_list(object, group_lists[i], lists[i]);

	for (size_t i = 0; i < 2 && rc == 0; i++) {
		rc = store_run(store, statements[i], "itttittttt", position, document_text(object, "side"),
			       document_text(object, "signalling"), document_text(object, "media"),
			       service_number(document_text(object, "defaultService")),
			       document_text(object, "localSocket"), lists[0], lists[1], lists[2],
			       document_text(object, "name"));
		if (sqlite3_changes(store->db) > 0)
			break;
	}
	return rc;
}

static int group_write(struct store *store, int64_t position, struct json_object *object)
{
	struct json_object *peers = member(object, "peers");
	int64_t group = 0;
	int rc = group_row_write(store, position, object);

	if (rc == 0)
		rc = store_integer(store, &group, "SELECT id FROM peer_group WHERE name = ?", "t",
				   document_text(object, "name"));
	for (size_t i = 0; i < json_object_array_length(peers) && rc == 0; i++)
		rc = peer_write(store, group, (int64_t)i, json_object_array_get_idx(peers, i));
	return rc;
}

static int services_write(struct store *store, struct json_object *list)
{
	int rc = 0;

	for (size_t i = 0; i < json_object_array_length(list) && rc == 0; i++) {
		struct json_object *object = json_object_array_get_idx(list, i);
		rc = store_run(
			store,
			"INSERT INTO service (id, position, peer_group, operator_peer_group)"
			" SELECT ?, ?, g.id, o.id FROM peer_group g, peer_group o WHERE g.name = ? AND o.name = ?",
			"iitt", service_number(document_text(object, "name")), (int64_t)i,
			document_text(object, "peerGroup"), document_text(object, "operatorPeerGroup"));
	}
	return rc;
}

/* What is in the document takes its place (0 and up); what still stands at -1 afterwards is gone. */
int topology_store_write(struct store *store, struct json_object *document)
{
	static const char *const before[] = {"DELETE FROM service", "UPDATE peer SET position = -1",
					     "UPDATE peer_group SET position = -1"};
	static const char *const after[] = {"DELETE FROM peer WHERE position = -1",
					    "DELETE FROM peer_group WHERE position = -1"};
	struct json_object *groups = member(document, "peerGroups");
	int rc = settings_write(store, document);

	for (size_t i = 0; i < sizeof(before) / sizeof(*before) && rc == 0; i++)
		rc = store_run(store, before[i], "");
	for (size_t i = 0; i < json_object_array_length(groups) && rc == 0; i++)
		rc = group_write(store, (int64_t)i, json_object_array_get_idx(groups, i));
	for (size_t i = 0; i < sizeof(after) / sizeof(*after) && rc == 0; i++)
		rc = store_run(store, after[i], "");
	return rc ? rc : services_write(store, member(document, "services"));
}

/* --- tables -> document --- */

static void text_add(struct json_object *object, const char *name, sqlite3_stmt *statement, int column)
{
	json_object_object_add(object, name, json_object_new_string(store_text(statement, column)));
}

static void list_add(struct json_object *object, const char *name, sqlite3_stmt *statement, int column)
{
	struct json_object *list = json_object_new_array();
	const char *text = store_text(statement, column);

	json_object_object_add(object, name, list);
	for (size_t length; *text; text += length + (text[length] == ' ')) {
		length = strcspn(text, " ");
		json_object_array_add(list, json_object_new_string_len(text, (int)length));
	}
}

/* Calls @p add for each row. */
static int rows_read(struct store *store, const char *sql, int64_t key,
		     int (*add)(struct store *, sqlite3_stmt *, struct json_object *), struct json_object *into)
{
	sqlite3_stmt *statement;
	int rc = store_select(store, &statement, sql, strchr(sql, '?') ? "i" : "", key);

	while (rc == 0 && (rc = store_step(store, &statement)) > 0) {
		rc = add(store, statement, into);
		if (rc)
			sqlite3_finalize(statement);
	}
	return rc;
}

static int prefix_add(struct store *store, sqlite3_stmt *statement, struct json_object *peer)
{
	(void)store;
	for (size_t i = 0; i < PREFIX_KINDS; i++)
		if (strcmp(prefix_kinds[i].kind, store_text(statement, 0)) == 0)
			json_object_array_add(member(peer, prefix_kinds[i].key),
					      json_object_new_string(store_text(statement, 1)));
	return 0;
}

static int priority_add(struct store *store, sqlite3_stmt *statement, struct json_object *peer)
{
	const char *region = store_text(statement, 0);
	struct json_object *value = json_object_new_int64(sqlite3_column_int64(statement, 1));

	(void)store;
	if (!*region) {
		json_object_object_add(peer, "priority", value);
		return 0;
	}
	if (!json_object_is_type(member(peer, "priority"), json_type_object))
		json_object_object_add(peer, "priority", json_object_new_object());
	json_object_object_add(member(peer, "priority"), region, value);
	return 0;
}

static int peer_add(struct store *store, sqlite3_stmt *statement, struct json_object *peers)
{
	struct json_object *peer = json_object_new_object();
	int64_t id = sqlite3_column_int64(statement, 0);

	json_object_array_add(peers, peer);
	text_add(peer, "name", statement, 1);
	text_add(peer, "site", statement, 2);
	text_add(peer, "host", statement, 3);
	if (sqlite3_column_int(statement, 4))
		json_object_object_add(peer, "port", json_object_new_int64(sqlite3_column_int64(statement, 4)));
	json_object_object_add(peer, "priority", json_object_new_int(0));
	json_object_object_add(peer, "weight", json_object_new_int64(sqlite3_column_int64(statement, 5)));
	json_object_object_add(peer, "capacity", json_object_new_int64(sqlite3_column_int64(statement, 6)));
	json_object_object_add(peer, "callsPerSecond", json_object_new_int64(sqlite3_column_int64(statement, 7)));
	for (size_t i = 0; i < PREFIX_KINDS; i++)
		json_object_object_add(peer, prefix_kinds[i].key, json_object_new_array());
	int rc = rows_read(store, "SELECT region, priority FROM peer_priority WHERE peer = ? ORDER BY region", id,
			   priority_add, peer);
	if (rc == 0)
		rc = rows_read(store, "SELECT kind, prefix FROM peer_prefix WHERE peer = ? ORDER BY kind, position", id,
			       prefix_add, peer);
	return rc;
}

static int group_add(struct store *store, sqlite3_stmt *statement, struct json_object *groups)
{
	struct json_object *group = json_object_new_object(), *peers = json_object_new_array();
	const struct service *service = service_by_id((uint16_t)sqlite3_column_int(statement, 5));

	json_object_array_add(groups, group);
	text_add(group, "name", statement, 1);
	text_add(group, "side", statement, 2);
	text_add(group, "signalling", statement, 3);
	text_add(group, "media", statement, 4);
	if (service)
		json_object_object_add(group, "defaultService", json_object_new_string(service->name));
	text_add(group, "localSocket", statement, 6);
	for (int i = 0; i < GROUP_LISTS; i++)
		list_add(group, group_lists[i], statement, 7 + i);
	json_object_object_add(group, "peers", peers);
	return rows_read(store,
			 "SELECT id, name, site, host, port, weight, capacity, calls_per_second FROM peer"
			 " WHERE peer_group = ? ORDER BY position",
			 sqlite3_column_int64(statement, 0), peer_add, peers);
}

static int service_add(struct store *store, sqlite3_stmt *statement, struct json_object *list)
{
	const struct service *service = service_by_id((uint16_t)sqlite3_column_int(statement, 0));
	struct json_object *object = json_object_new_object();

	(void)store;
	json_object_object_add(object, "name", json_object_new_string(service ? service->name : ""));
	text_add(object, "peerGroup", statement, 1);
	text_add(object, "operatorPeerGroup", statement, 2);
	json_object_array_add(list, object);
	return 0;
}

static int setting_add(struct store *store, sqlite3_stmt *statement, struct json_object *document)
{
	const char *name = store_text(statement, 0);
	struct json_object *settings = member(document, "settings");

	(void)store;
	if (strcmp(name, "mode") == 0)
		text_add(document, name, statement, 1);
	for (const struct document_field *field = document_settings; field->name; field++) {
		if (strcmp(field->name, name) != 0)
			continue;
		if (field->kind == DOCUMENT_TEXT)
			text_add(settings, name, statement, 1);
		else if (field->kind == DOCUMENT_BOOL)
			json_object_object_add(settings, name,
					       json_object_new_boolean(sqlite3_column_int(statement, 1)));
		else
			json_object_object_add(settings, name,
					       json_object_new_int64(sqlite3_column_int64(statement, 1)));
	}
	return 0;
}

/* Starts from the defaults, so a setting that came with a later version has its default in an older store. */
int topology_store_read(struct store *store, struct json_object **document)
{
	struct json_object *read = topology_document_empty();

	if (!read)
		return -ENOMEM;
	int rc = rows_read(store, "SELECT name, value FROM setting", 0, setting_add, read);
	if (rc == 0)
		rc = rows_read(store,
			       "SELECT s.id, g.name, o.name FROM service s JOIN peer_group g ON g.id = s.peer_group"
			       " JOIN peer_group o ON o.id = s.operator_peer_group ORDER BY s.position",
			       0, service_add, member(read, "services"));
	if (rc == 0)
		rc = rows_read(store,
			       "SELECT id, name, side, signalling, media, default_service, local_socket, srtp_suites,"
			       " dtls_profiles, keepalive_names FROM peer_group ORDER BY position",
			       0, group_add, member(read, "peerGroups"));
	if (rc)
		json_object_put(read);
	else
		*document = read;
	return rc;
}

/* --- tables -> region --- */

/* Arrays of the picture; texts stay in the document. */
struct picture {
	struct topology topology;
	struct topology_group *groups;
	struct topology_peer *peers;
	struct topology_service *services;
	struct prefix *prefixes;
	char (*lists)[GROUP_LISTS][TOPOLOGY_LIST_MAX + 1]; /* of each group */
};

static void picture_finish(struct picture *picture)
{
	free(picture->groups);
	free(picture->peers);
	free(picture->services);
	free(picture->prefixes);
	free(picture->lists);
}

static struct span member_span(struct json_object *object, const char *name)
{
	return span_of(document_text(object, name));
}

static int picture_allocate(struct picture *picture, struct json_object *document)
{
	struct json_object *groups = member(document, "peerGroups"), *list = member(document, "services");
	size_t peer_count = 0, prefix_count = 0;

	picture->topology.group_count = json_object_array_length(groups);
	picture->topology.service_count = json_object_array_length(list);
	for (size_t g = 0; g < picture->topology.group_count; g++) {
		struct json_object *peers = member(json_object_array_get_idx(groups, g), "peers");
		peer_count += json_object_array_length(peers);
		for (size_t p = 0; p < json_object_array_length(peers); p++)
			for (size_t k = 0; k < PREFIX_KINDS; k++)
				prefix_count += json_object_array_length(
					member(json_object_array_get_idx(peers, p), prefix_kinds[k].key));
	}
	picture->groups = calloc(picture->topology.group_count + 1, sizeof(*picture->groups));
	picture->services = calloc(picture->topology.service_count + 1, sizeof(*picture->services));
	picture->peers = calloc(peer_count + 1, sizeof(*picture->peers));
	picture->prefixes = calloc(prefix_count + 1, sizeof(*picture->prefixes));
	picture->lists = calloc(picture->topology.group_count + 1, sizeof(*picture->lists));
	picture->topology.groups = picture->groups;
	picture->topology.services = picture->services;
	bool whole = picture->groups && picture->services && picture->peers && picture->prefixes && picture->lists;
	return whole ? 0 : -ENOMEM;
}

/* This region's value; a region that the document does not name takes "default", or the last place. */
static uint8_t priority_pick(struct json_object *priority, const char *region_name)
{
	struct json_object *value = priority;

	if (json_object_is_type(priority, json_type_object)) {
		value = member(priority, region_name);
		if (!value)
			value = member(priority, "default");
	}
	return value ? (uint8_t)json_object_get_int(value) : PRIORITY_LAST;
}

/* Ids and administrative states are not part of the document. */
static int peer_identify(struct store *store, struct json_object *object, struct topology_peer *peer)
{
	sqlite3_stmt *statement;
	int rc = store_select(store, &statement,
			      "SELECT p.id, a.state FROM peer p LEFT JOIN administrative_state a ON a.peer = p.id"
			      " WHERE p.name = ?",
			      "t", document_text(object, "name"));

	if (rc == 0)
		rc = store_step(store, &statement);
	if (rc < 1)
		return rc ? rc : -ENOENT;
	peer->id = (uint32_t)sqlite3_column_int64(statement, 0);
	if (admin_state_parse(span_of(store_text(statement, 1)), &peer->admin))
		peer->admin = ADMIN_AUTO;
	sqlite3_finalize(statement);
	return 0;
}

static int prefixes_picture(struct json_object *list, struct prefix **next, const struct prefix **prefixes,
			    size_t *count)
{
	*prefixes = *next;
	*count = json_object_array_length(list);
	for (size_t i = 0; i < *count; i++)
		if (prefix_parse(span_of(json_object_get_string(json_object_array_get_idx(list, i))), (*next)++))
			return -EINVAL;
	return 0;
}

static int peer_picture(struct store *store, struct json_object *object, const char *region_name,
			struct topology_peer *peer, struct prefix **prefixes)
{
	*peer = (struct topology_peer){.name = member_span(object, "name"),
				       .site = member_span(object, "site"),
				       .host = member_span(object, "host"),
				       .port = (uint16_t)document_integer(object, "port"),
				       .priority = priority_pick(member(object, "priority"), region_name),
				       .weight = (uint16_t)document_integer(object, "weight"),
				       .capacity = (uint32_t)document_integer(object, "capacity"),
				       .calls_per_second = (uint32_t)document_integer(object, "callsPerSecond")};
	int rc = prefixes_picture(member(object, prefix_kinds[0].key), prefixes, &peer->sources, &peer->source_count);
	if (rc == 0)
		rc = prefixes_picture(member(object, prefix_kinds[1].key), prefixes, &peer->media, &peer->media_count);
	return rc ? rc : peer_identify(store, object, peer);
}

static int group_picture(struct json_object *object, struct topology_group *group,
			 char lists[GROUP_LISTS][TOPOLOGY_LIST_MAX + 1])
{
	struct span *const texts[GROUP_LISTS] = {&group->srtp_suites, &group->dtls_profiles, &group->keepalive_names};

	*group = (struct topology_group){.name = member_span(object, "name"),
					 .default_service =
						 (uint16_t)service_number(document_text(object, "defaultService")),
					 .local_socket = member_span(object, "localSocket"),
					 .peer_count = json_object_array_length(member(object, "peers"))};
	for (size_t i = 0; i < GROUP_LISTS; i++)
		*texts[i] = span_of(document_list(object, group_lists[i], lists[i]));
	int rc = side_parse(member_span(object, "side"), &group->side);
	if (rc == 0)
		rc = transport_parse(member_span(object, "signalling"), &group->transport);
	return rc ? rc : media_parse(member_span(object, "media"), &group->media);
}

static int groups_picture(struct store *store, struct json_object *groups, const char *region_name,
			  struct picture *picture)
{
	struct topology_peer *peer = picture->peers;
	struct prefix *prefixes = picture->prefixes;
	int rc = 0;

	for (size_t g = 0; g < picture->topology.group_count && rc == 0; g++) {
		struct json_object *object = json_object_array_get_idx(groups, g), *peers = member(object, "peers");
		rc = group_picture(object, &picture->groups[g], picture->lists[g]);
		picture->groups[g].peers = peer;
		for (size_t p = 0; p < picture->groups[g].peer_count && rc == 0; p++, peer++)
			rc = peer_picture(store, json_object_array_get_idx(peers, p), region_name, peer, &prefixes);
	}
	return rc;
}

static void settings_picture(struct json_object *document, struct topology_settings *settings)
{
	struct json_object *object = member(document, "settings");

	settings->lab = strcmp(document_text(document, "mode"), "lab") == 0;
	settings->custom_header = member_span(object, "customSipHeader");
	settings->mask_numbers = json_object_get_boolean(member(object, "maskNumbers"));
	settings->probe_interval_ms = (uint32_t)document_integer(object, "probeIntervalMs");
	settings->probe_timeout_ms = (uint32_t)document_integer(object, "probeTimeoutMs");
	settings->keepalive_interval_ms = (uint32_t)document_integer(object, "keepaliveIntervalMs");
	settings->silence_limit_ms = (uint32_t)document_integer(object, "silenceLimitMs");
	settings->progress_limit_ms = (uint32_t)document_integer(object, "progressLimitMs");
	settings->down_after = (uint8_t)document_integer(object, "downAfter");
	settings->up_after = (uint8_t)document_integer(object, "upAfter");
	settings->max_tries = (uint8_t)document_integer(object, "maxTries");
	settings->max_call_ms = (uint32_t)document_integer(object, "maxCallMs");
	settings->slow_start_ms = (uint32_t)document_integer(object, "slowStartMs");
	settings->drain_grace_ms = (uint32_t)document_integer(object, "drainGraceMs");
}

/* The row is there while this node is draining; its value is the Unix time of the start in milliseconds. */
static int drain_picture(struct store *store, struct topology_settings *settings)
{
	int64_t since = 0;
	int rc = store_integer(store, &since, "SELECT value FROM node_state WHERE name = 'drain'", "");

	settings->draining = rc == 0;
	settings->draining_since_ms = (uint64_t)since;
	return rc == -ENOENT ? 0 : rc;
}

static int picture_build(struct store *store, struct json_object *document, const char *region_name,
			 struct picture *picture)
{
	struct json_object *list = member(document, "services");
	int rc = picture_allocate(picture, document);

	if (rc)
		return rc;
	for (size_t i = 0; i < picture->topology.service_count; i++) {
		struct json_object *object = json_object_array_get_idx(list, i);
		picture->services[i] =
			(struct topology_service){.id = (uint16_t)service_number(document_text(object, "name")),
						  .group = member_span(object, "peerGroup"),
						  .operator_group = member_span(object, "operatorPeerGroup")};
	}
	settings_picture(document, &picture->topology.settings);
	memcpy(picture->topology.settings.dialog_key, store->dialog_key, DIALOG_KEY_SIZE);
	rc = drain_picture(store, &picture->topology.settings);
	return rc ? rc : groups_picture(store, member(document, "peerGroups"), region_name, picture);
}

int topology_store_publish(struct store *store, struct region *region, const char *region_name,
			   const struct target_source *names)
{
	struct picture picture = {0};
	struct json_object *document = NULL;
	int rc = topology_store_read(store, &document);

	if (rc == 0)
		rc = picture_build(store, document, region_name, &picture);
	picture.topology.names = names;
	if (rc == 0)
		rc = topology_publish(region, &picture.topology);
	picture_finish(&picture);
	json_object_put(document);
	return rc;
}
