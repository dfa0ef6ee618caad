/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Operations on the topology, on peers, and status. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "digest.h"
#include "job.h"
#include "topology_document.h"
#include "topology_store.h"

enum { CHANGES_SHOWN = 200 }; /* an RPC answer ends at 32 KB */

static void integer_add(struct call *call, const char *key, int64_t value)
{
	json_object_object_add(call->result, key, json_object_new_int64(value));
}

static void text_add(struct call *call, const char *key, const char *text)
{
	json_object_object_add(call->result, key, json_object_new_string(text));
}

static void difference_show(struct call *call, struct json_object *difference)
{
	size_t count = json_object_array_length(difference);

	json_object_object_add(call->result, "dryRun", json_object_new_boolean(call->discard));
	integer_add(call, "changeCount", (int64_t)count);
	if (count > CHANGES_SHOWN)
		json_object_array_del_idx(difference, CHANGES_SHOWN, count - CHANGES_SHOWN);
	json_object_object_add(call->result, "changes", json_object_get(difference));
}

/* The dry run writes too and takes it back, so that it meets every error that the real one would meet. */
static int document_apply(struct call *call, struct json_object *document)
{
	struct json_object *before = NULL;
	int rc = topology_store_read(call->store, &before);

	if (rc)
		return rc;
	struct json_object *difference = topology_document_difference(before, document);
	json_object_put(before);
	if (json_object_array_length(difference) > 0) {
		call->logged_document = strdup(json_object_to_json_string_ext(
			document, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
		rc = call->logged_document ? topology_store_write(call->store, document) : -ENOMEM;
		call->change.kind = CHANGE_TOPOLOGY;
	}
	difference_show(call, difference);
	json_object_put(difference);
	return rc;
}

static int topology_load(struct call *call)
{
	struct json_object *document = NULL;
	int rc = topology_document_read(call->document, call->document_length, &document, &call->fault);

	if (rc)
		return rc;
	call->discard = call->arguments[1] != NULL;
	rc = document_apply(call, document);
	json_object_put(document);
	return rc;
}

static int topology_get(struct call *call)
{
	struct json_object *document = NULL;
	int rc = topology_store_read(call->store, &document);

	if (rc)
		return rc;
	json_object_put(call->result);
	call->result = document;
	return 0;
}

static int peer_set(struct call *call)
{
	const char *peer = call->arguments[0], *state = call->arguments[1];
	char time[STORE_TIME_SIZE];
	int64_t id = 0;
	int rc = store_integer(call->store, &id, "SELECT id FROM peer WHERE name = ?", "t", peer);

	if (rc)
		return rc == -ENOENT ? fault_set(&call->fault, FAULT_NOT_FOUND, "peer", "there is no peer %s", peer)
				     : rc;
	store_time(time);
	call->change.kind = CHANGE_TOPOLOGY;
	text_add(call, "peer", peer);
	text_add(call, "state", state);
	return store_run(call->store,
			 "INSERT INTO administrative_state (peer, state, time, user, via) VALUES (?, ?, ?, ?, ?)"
			 " ON CONFLICT (peer) DO UPDATE SET state = excluded.state, time = excluded.time,"
			 " user = excluded.user, via = excluded.via",
			 "itttt", id, state, time, call->user, call->via);
}

/* --- targets --- */

static struct json_object *target_item(const struct topology_target *target)
{
	static const uint8_t ipv4[12] = {[10] = 0xff, [11] = 0xff};
	bool is_ipv4 = memcmp(target->address, ipv4, sizeof(ipv4)) == 0;
	struct json_object *item = json_object_new_object();
	char text[INET6_ADDRSTRLEN];

	inet_ntop(is_ipv4 ? AF_INET : AF_INET6, target->address + (is_ipv4 ? sizeof(ipv4) : 0), text, sizeof(text));
	json_object_object_add(item, "address", json_object_new_string(text));
	json_object_object_add(item, "port", json_object_new_int(target->port));
	if (target->name.len == 0)
		return item;
	json_object_object_add(item, "name", json_object_new_string_len(target->name.ptr, (int)target->name.len));
	json_object_object_add(item, "srvPriority", json_object_new_int(target->srv_priority));
	json_object_object_add(item, "srvWeight", json_object_new_int(target->srv_weight));
	return item;
}

static void span_add(struct json_object *object, const char *key, struct span text)
{
	json_object_object_add(object, key, json_object_new_string_len(text.ptr, (int)text.len));
}

static struct json_object *peer_item(const struct topology_view *view, const struct peer_view *peer)
{
	struct json_object *item = json_object_new_object(), *targets = json_object_new_array();
	struct topology_target target;

	span_add(item, "peer", peer->name);
	span_add(item, "host", peer->host);
	json_object_object_add(item, "targets", targets);
	for (uint32_t i = 0; i < peer->target_count; i++)
		if (topology_target(view, peer->first_target + i, &target) == 0)
			json_object_array_add(targets, target_item(&target));
	span_add(item, "reason", peer->dns_reason);
	return item;
}

/* The first peer of the page. */
static int page_start(const struct topology_view *view, const char *after, uint32_t *index)
{
	struct peer_view peer;

	*index = 0;
	if (!after)
		return 0;
	while (topology_peer(view, (*index)++, &peer) == 0)
		if (span_equal(peer.name, span_of(after)))
			return 0;
	return -ENOENT;
}

/* The one writer of the region is this process, so a view stays as it is. */
static int target_list(struct call *call)
{
	const struct publisher *publisher = call->provisioner->publisher;
	struct json_object *items = json_object_new_array();
	struct topology_view view;
	struct peer_view peer;
	uint32_t index;
	unsigned limit = operation_limit(call->arguments[0]);

	json_object_object_add(call->result, "items", items);
	if (!publisher || topology_open(publisher->region, &view) != 0)
		return fault_set(&call->fault, FAULT_UNAVAILABLE, "region", "no worker of Kamailio's runs");
	if (page_start(&view, call->arguments[1], &index) != 0)
		return fault_set(&call->fault, FAULT_NOT_FOUND, "after", "there is no such peer");
	for (; json_object_array_length(items) < limit && topology_peer(&view, index, &peer) == 0; index++)
		json_object_array_add(items, peer_item(&view, &peer));
	if (index > 0 && index < topology_peer_count(&view) && topology_peer(&view, index - 1, &peer) == 0)
		span_add(call->result, "next", peer.name);
	return 0;
}

/* --- the node --- */

static int drain_add(struct call *call)
{
	int64_t since = 0;
	char text[STORE_TIME_SIZE];
	int rc = store_integer(call->store, &since, "SELECT value FROM node_state WHERE name = 'drain'", "");

	json_object_object_add(call->result, "draining", json_object_new_boolean(rc == 0));
	if (rc == 0) {
		store_time_text(since, text);
		text_add(call, "drainingSince", text);
	}
	return rc == -ENOENT ? 0 : rc;
}

/* On again while it is on keeps the time of the first: the grace time is not given twice. */
static int node_drain(struct call *call)
{
	bool on = strcmp(call->arguments[0], "on") == 0;
	char time[STORE_TIME_SIZE];
	int64_t now_ms = store_time(time);
	int rc = on ? store_run(call->store,
				"INSERT INTO node_state (name, value, time, user, via) VALUES ('drain', ?, ?, ?, ?)"
				" ON CONFLICT (name) DO NOTHING",
				"ittt", now_ms, time, call->user, call->via)
		    : store_run(call->store, "DELETE FROM node_state WHERE name = 'drain'", "");

	call->change.kind = CHANGE_TOPOLOGY;
	return rc ? rc : drain_add(call);
}

/* --- status --- */

static int counts_add(struct call *call)
{
	static const struct {
		const char *key, *sql;
	} counts[] = {{"accounts", "SELECT count(*) FROM account"},
		      {"ranges", "SELECT count(*) FROM number_range"},
		      {"services", "SELECT count(*) FROM service"},
		      {"peerGroups", "SELECT count(*) FROM peer_group"},
		      {"peers", "SELECT count(*) FROM peer"},
		      {"schema", "SELECT user_version FROM pragma_user_version"}};
	int rc = 0;

	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts) && rc == 0; i++) {
		int64_t value = 0;
		rc = store_integer(call->store, &value, counts[i].sql, "");
		integer_add(call, counts[i].key, value);
	}
	return rc;
}

static int mode_add(struct call *call)
{
	int64_t lab = 0;
	int rc = store_integer(call->store, &lab, "SELECT value = 'lab' FROM setting WHERE name = 'mode'", "");

	text_add(call, "mode", lab ? "lab" : "production");
	return rc == -ENOENT ? 0 : rc;
}

static void worker_add(struct call *call)
{
	const struct provisioner *provisioner = call->provisioner;
	char id[REGION_STORE_ID_SIZE];

	json_object_object_add(call->result, "worker", json_object_new_boolean(provisioner->worker));
	if (!provisioner->worker)
		return;
	integer_add(call, "workerPid", getpid());
	integer_add(call, "uptimeSeconds", (request_clock_ms() - provisioner->started_ms) / 1000);
	if (!provisioner->publisher)
		return;
	integer_add(call, "publishedRevision", (int64_t)region_revision(provisioner->publisher->region, id));
	integer_add(call, "publishedNumbers", (int64_t)number_table_count(provisioner->publisher->region));
	json_object_object_add(call->result, "published", json_object_new_boolean(!provisioner->publisher->stale));
}

static int status(struct call *call)
{
	char digest[2 * STORE_DIGEST_SIZE + 1];

	store_digest_text(call->store->digest, digest);
	text_add(call, "storeId", call->store->id);
	integer_add(call, "revision", (int64_t)call->store->revision);
	text_add(call, "digest", digest);
	integer_add(call, "numbers", call->store->number_count);
	text_add(call, "role", call->store->replica ? "replica" : "primary");
	text_add(call, "region", call->provisioner->region_name);
	int rc = mode_add(call);
	if (rc == 0)
		rc = drain_add(call);
	if (rc == 0)
		rc = counts_add(call);
	worker_add(call);
	jobs_status(call->provisioner->jobs, call->result);
	return rc;
}

static int digest(struct call *call)
{
	char text[2 * STORE_DIGEST_SIZE + 1];

	store_digest_text(call->store->digest, text);
	text_add(call, "storeId", call->store->id);
	integer_add(call, "revision", (int64_t)call->store->revision);
	text_add(call, "digest", text);
	return 0;
}

const struct call_handler topology_handlers[] = {{.name = "topology_load", .run = topology_load},
						 {.name = "topology_get", .run = topology_get},
						 {.name = "peer_set", .run = peer_set},
						 {.name = "target_list", .run = target_list},
						 {.name = "node_drain", .run = node_drain},
						 {.name = "status", .run = status},
						 {.name = "digest", .run = digest},
						 {0}};
