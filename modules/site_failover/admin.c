/* SPDX-License-Identifier: GPL-2.0-or-later */
/** RPC: site_failover.list, .set and .drain. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <core/mem/mem.h>
#include <core/rpc.h>

#include "calls.h"
#include "health.h"
#include "kamailio_compat.h"
#include "load.h"
#include "place.h"
#include "script.h"
#include "state.h"
#include "observed.h"

enum { LIMIT_DEFAULT = 25, LIMIT_MAX = 100, ROWS_MAX = 40, TIME_MAX = 32, REASON_MAX = 128, TARGETS_MAX = 64 };

struct request {
	const char *group; /* "" = all */
	unsigned limit;
	uint32_t after; /* peer id */
};

struct page {
	uint32_t *peers; /* sorted by id, pkg memory */
	size_t count;
};

/* ------- reading the arguments ------- */

static int scan_text(rpc_t *rpc, void *context, const char *field, const char **text)
{
	*text = "";
	return site_state.provisioning.scan(rpc, context, field, text);
}

static int peer_by_name(const char *name, uint32_t *peer)
{
	struct topology_view view;
	struct peer_view found;
	int result;
	do {
		result = topology_open(site_state.provisioning.region, &view);
		if (result)
			return result;
		result = topology_peer_by_name(&view, span_of(name), &found);
		if (result == 0)
			*peer = found.id;
	} while (!topology_current(&view));
	return result;
}

static int read_request(rpc_t *rpc, void *context, struct request *request)
{
	const char *after;
	*request = (struct request){.group = "", .limit = LIMIT_DEFAULT};
	if (scan_text(rpc, context, "group", &request->group) < 0 ||
	    site_state.provisioning.scan_limit(rpc, context, LIMIT_MAX, &request->limit) < 0 ||
	    scan_text(rpc, context, "after", &after) < 0 || site_state.provisioning.scan_end(rpc, context) < 0)
		return -1;
	if (span_equal(span_of(request->group), SPAN_LIT("-")))
		request->group = "";
	if (after[0] == '\0' || peer_by_name(after, &request->after) == 0)
		return 0;
	rpc->fault(context, 404, "after: there is no such peer");
	return -1;
}

/* ------- one page ------- */

static int by_id(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
	return left < right ? -1 : left > right;
}

static int collect(const struct topology_view *view, const struct request *request, struct page *page)
{
	struct group_view group = {.peer_count = topology_peer_count(view)};
	struct peer_view peer;
	if (request->group[0] && topology_group_by_name(view, span_of(request->group), &group))
		return -ENOENT;
	page->peers = pkg_malloc((group.peer_count + 1) * sizeof(*page->peers));
	if (!page->peers)
		return -ENOMEM;
	page->count = 0;
	for (uint32_t i = 0; i < group.peer_count; i++)
		if (topology_peer(view, group.first_peer + i, &peer) == 0 && peer.id > request->after)
			page->peers[page->count++] = peer.id;
	qsort(page->peers, page->count, sizeof(*page->peers), by_id);
	return 0;
}

static void drop_page(struct page *page)
{
	if (page->peers)
		pkg_free(page->peers);
	*page = (struct page){};
}

static int read_page(const struct request *request, struct page *page)
{
	struct topology_view view;
	int result;
	do {
		drop_page(page);
		result = topology_open(site_state.provisioning.region, &view);
		if (result)
			return result;
		result = collect(&view, request, page);
	} while (!topology_current(&view));
	return result;
}

static void write_time(char text[TIME_MAX], time_t when)
{
	struct tm parts;
	gmtime_r(&when, &parts);
	strftime(text, TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

/* ------- one row ------- */

/* A peer that is shown: copied out of the picture. */
struct shown {
	struct place place;
	char dns_reason[REASON_MAX];
	struct topology_target targets[TARGETS_MAX];
	uint32_t target_count;
	bool probed;
};

static int copy_peer(const struct topology_view *view, uint32_t peer, struct shown *shown)
{
	struct peer_view row;
	struct topology_settings settings;
	int result = topology_peer_by_id(view, peer, &row);
	if (result == 0)
		result = topology_settings(view, &settings);
	if (result == 0)
		result = place_of_peer(view, &row, &shown->place);
	if (result)
		return result;
	place_copy_text(shown->dns_reason, sizeof(shown->dns_reason), row.dns_reason);
	shown->probed = settings.probe_interval_ms && row.admin != ADMIN_DISABLED;
	shown->target_count = 0;
	for (uint32_t i = 0; i < row.target_count && shown->target_count < TARGETS_MAX; i++)
		if (topology_target(view, row.first_target + i, &shown->targets[shown->target_count]) == 0)
			shown->target_count++;
	return 0;
}

static int find_peer(uint32_t peer, struct shown *shown)
{
	struct topology_view view;
	int result;
	do {
		result = topology_open(site_state.provisioning.region, &view);
		if (result)
			return result;
		result = copy_peer(&view, peer, shown);
	} while (!topology_current(&view));
	return result;
}

/* The time of day at a time of our clock. */
static time_t wall_clock(uint64_t when_ms)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t ago_ms = site_clock_ms() - when_ms;
	return (time_t)(((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000 - ago_ms) / 1000);
}

/* What is shown of a target that nobody has looked at yet. */
static const struct observed unknown = {};

static int next_probe(const struct shown *shown, const struct observed *observed, uint64_t now_ms)
{
	uint64_t next_ms = observed->health.next_probe_ms;
	if (!shown->probed || observed == &unknown)
		return -1;
	return next_ms > now_ms ? (int)(next_ms - now_ms) : 0;
}

static int add_row(rpc_t *rpc, void *context, const struct shown *shown, const struct observed *observed)
{
	const struct place *place = &shown->place;
	char uri[PLACE_URI_MAX] = "", since[TIME_MAX] = "";
	uint64_t now_ms = site_clock_ms();
	const struct load *load = load_of(place->peer);
	void *row;
	if (place->has_address)
		place_uri(place, uri);
	if (observed != &unknown)
		write_time(since, wall_clock(observed->health.since_ms));
	if (rpc->add(context, "{", &row) < 0)
		return -ENOSPC;
	if (rpc->struct_add(row, "dssss", "id", (int)place->peer, "name", place->name, "group", place->group, "site",
			    place->site, "address", uri[0] ? uri : place->host) < 0 ||
	    rpc->struct_add(row, "dssss", "target", (int)place->target, "administrative",
			    admin_state_name(place->admin), "observed",
			    observed == &unknown ? "unknown" : health_state_name(observed->health.state), "since",
			    since, "reason", observed->reason) < 0 ||
	    rpc->struct_add(row, "dddddds", "failures", (int)observed->failures, "latency",
			    observed->answered ? (int)observed->latency_ms : -1, "live", load ? (int)load->live : 0,
			    "trying", load ? (int)load->trying : 0, "capacity", (int)place->capacity, "next_probe",
			    next_probe(shown, observed, now_ms), "dns", shown->dns_reason) < 0)
		return -ENOSPC;
	return 0;
}

/* Returns how many rows it took, or -ENOSPC. */
static int add_peer(rpc_t *rpc, void *context, uint32_t peer)
{
	static struct shown shown;
	if (find_peer(peer, &shown))
		return 0;
	shown.place.has_address = false;
	if (shown.target_count == 0)
		return add_row(rpc, context, &shown, &unknown) ? -ENOSPC : 1;
	for (uint32_t i = 0; i < shown.target_count; i++) {
		place_set_target(&shown.place, &shown.targets[i]);
		const struct observed *observed = observed_at(shown.place.target);
		bool known = observed && (observed->started || observed->calls);
		if (add_row(rpc, context, &shown, known ? observed : &unknown))
			return -ENOSPC;
	}
	return (int)shown.target_count;
}

static void add_node(rpc_t *rpc, void *context)
{
	struct topology_settings settings;
	char since[TIME_MAX] = "";
	void *row;
	if (site_settings(&settings) || rpc->add(context, "{", &row) < 0)
		return;
	if (settings.draining)
		write_time(since, (time_t)(settings.draining_since_ms / 1000));
	rpc->struct_add(row, "ssdd", "node", settings.draining ? "drain" : "auto", "since", since, "live",
			(int)calls_count(), "trying", (int)calls_trying());
}

static void add_next(rpc_t *rpc, void *context, uint32_t last)
{
	struct place place;
	void *row;
	if (place_find(last, &place) == 0 && rpc->add(context, "{", &row) >= 0)
		rpc->struct_add(row, "s", "next", place.name);
}

static void answer_page(rpc_t *rpc, void *context, const struct page *page, const struct request *request)
{
	size_t i = 0;
	int rows = 0, added = 0;
	if (request->after == 0)
		add_node(rpc, context);
	/* a peer's targets stay on one page, and a page fits a reply of ctl */
	for (; i < page->count && i < request->limit && rows < ROWS_MAX; i++, rows += added)
		if ((added = add_peer(rpc, context, page->peers[i])) < 0)
			break;
	if (i > 0 && i < page->count)
		add_next(rpc, context, page->peers[i - 1]);
}

static void rpc_list(rpc_t *rpc, void *context)
{
	struct request request;
	struct page page = {};
	if (read_request(rpc, context, &request) < 0)
		return;
	int result = read_page(&request, &page);
	if (result == -ENOENT)
		rpc->fault(context, 404, "group: there is no such group");
	else if (result)
		rpc->fault(context, 503, "%s", result == -EAGAIN ? "nothing is published yet" : "out of memory");
	else
		answer_page(rpc, context, &page, &request);
	drop_page(&page);
}

/* ------- set ------- */

static void rpc_set(rpc_t *rpc, void *context)
{
	const char *arguments[2];
	if (scan_text(rpc, context, "peer", &arguments[0]) < 0 || scan_text(rpc, context, "state", &arguments[1]) < 0 ||
	    site_state.provisioning.scan_end(rpc, context) < 0)
		return;
	site_state.provisioning.rpc(rpc, context, "peer_set", arguments, 2);
}

static void rpc_drain(rpc_t *rpc, void *context)
{
	const char *arguments[1];
	if (scan_text(rpc, context, "state", &arguments[0]) < 0 || site_state.provisioning.scan_end(rpc, context) < 0)
		return;
	site_state.provisioning.rpc(rpc, context, "node_drain", arguments, 1);
}

static const char *list_doc[] = {"Targets with configured and observed state: [<group>] [<limit>] [<after>]", NULL};
static const char *drain_doc[] = {"Drains this node, or takes it back into service: on|off", NULL};
static const char *set_doc[] = {"Administrative state of a peer: <peer> auto|drain|disabled", NULL};

rpc_export_t admin_rpc[] = {
	{.name = "site_failover.list", .function = rpc_list, .doc_str = list_doc, .flags = RPC_ROWS},
	{.name = "site_failover.drain", .function = rpc_drain, .doc_str = drain_doc},
	{.name = "site_failover.set", .function = rpc_set, .doc_str = set_doc},
	{},
};
