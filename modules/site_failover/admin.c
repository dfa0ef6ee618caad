/* SPDX-License-Identifier: GPL-2.0-or-later */
/** RPC: site_failover.list and .set. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <core/mem/mem.h>
#include <core/rpc.h>

#include "health.h"
#include "place.h"
#include "script.h"
#include "state.h"
#include "observed.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 100 };

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

static void write_time(char text[32], uint64_t since_ms)
{
	time_t since = time(NULL) - (time_t)((site_clock_ms() - since_ms) / 1000);
	struct tm parts;
	gmtime_r(&since, &parts);
	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

static int add_peer(rpc_t *rpc, void *context, uint32_t peer)
{
	struct place place;
	struct observed target = {};
	char uri[PLACE_URI_MAX] = "", since[32] = "";
	void *row;
	if (place_find(peer, &place))
		return 0;
	bool known = observed_get(peer, &target) == 0;
	if (place.has_address)
		place_uri(&place, uri);
	if (known)
		write_time(since, target.health.since_ms);
	if (rpc->add(context, "{", &row) < 0)
		return -ENOSPC;
	return rpc->struct_add(row, "dssssssssd", "id", (int)peer, "name", place.name, "group", place.group, "site",
			       place.site, "address", uri[0] ? uri : place.host, "administrative",
			       admin_state_name(place.admin), "observed",
			       known ? health_state_name(target.health.state) : "unknown", "since", since, "reason",
			       target.reason, "failures", (int)target.failures) < 0
		       ? -ENOSPC
		       : 0;
}

static void add_next(rpc_t *rpc, void *context, uint32_t last)
{
	struct place place;
	void *row;
	if (place_find(last, &place) == 0 && rpc->add(context, "{", &row) >= 0)
		rpc->struct_add(row, "s", "next", place.name);
}

static void answer_page(rpc_t *rpc, void *context, const struct page *page, unsigned limit)
{
	size_t i = 0;
	while (i < page->count && i < limit && add_peer(rpc, context, page->peers[i]) == 0)
		i++;
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
		answer_page(rpc, context, &page, request.limit);
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

static const char *list_doc[] = {"Peers with configured and observed state: [<group>] [<limit>] [<after>]", NULL};
static const char *set_doc[] = {"Administrative state of a peer: <peer> auto|drain|disabled", NULL};

rpc_export_t admin_rpc[] = {
	{.name = "site_failover.list", .function = rpc_list, .doc_str = list_doc, .flags = 0},
	{.name = "site_failover.set", .function = rpc_set, .doc_str = set_doc},
	{},
};
