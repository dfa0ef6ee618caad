/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The topology as one read-only picture in the shared region: building it and reading it. */
#include "topology.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "region_layout.h"

/* ------- names ------- */

static const char *const side_names[] = {[SIDE_OPERATOR] = "operator", [SIDE_SERVICE] = "service"};
static const char *const transport_names[] = {
	[TRANSPORT_UDP] = "UDP",
	[TRANSPORT_TCP] = "TCP",
	[TRANSPORT_TLS] = "TLS",
};
static const char *const media_names[] = {
	[MEDIA_RTP] = "RTP",
	[MEDIA_SRTP] = "SRTP",
	[MEDIA_SRTP_OPTIONAL] = "SRTP-optional",
};
static const char *const admin_state_names[] = {
	[ADMIN_AUTO] = "auto",
	[ADMIN_DRAIN] = "drain",
	[ADMIN_DISABLED] = "disabled",
};

#define LENGTH(array) (sizeof(array) / sizeof(*(array)))

static const char *name_of(const char *const *names, size_t count, unsigned value)
{
	return value < count && names[value] ? names[value] : "";
}

static int value_of(const char *const *names, size_t count, struct span text)
{
	for (size_t i = 0; i < count; i++)
		if (names[i] && span_equal(span_of(names[i]), text))
			return (int)i;
	return -EINVAL;
}

#define NAME_FUNCTIONS(kind)                                                                                           \
	const char *kind##_name(enum kind value)                                                                       \
	{                                                                                                              \
		return name_of(kind##_names, LENGTH(kind##_names), (unsigned)value);                                   \
	}                                                                                                              \
	int kind##_parse(struct span text, enum kind *value)                                                           \
	{                                                                                                              \
		int found = value_of(kind##_names, LENGTH(kind##_names), text);                                        \
		if (found < 0)                                                                                         \
			return found;                                                                                  \
		*value = (enum kind)found;                                                                             \
		return 0;                                                                                              \
	}

NAME_FUNCTIONS(side)
NAME_FUNCTIONS(transport)
NAME_FUNCTIONS(media)
NAME_FUNCTIONS(admin_state)

uint16_t transport_port(enum transport transport)
{
	return transport == TRANSPORT_TLS ? 5061 : 5060;
}

/* ------- prefixes ------- */

enum { IPV4_SHIFT = 96 };
static const uint8_t ipv4_mapped[12] = {[10] = 0xff, [11] = 0xff};

static int address_parse(const char *text, uint8_t address[16], uint8_t *shift)
{
	if (inet_pton(AF_INET, text, address + 12) == 1) {
		memcpy(address, ipv4_mapped, sizeof(ipv4_mapped));
		*shift = IPV4_SHIFT;
		return 0;
	}
	*shift = 0;
	return inet_pton(AF_INET6, text, address) == 1 ? 0 : -EINVAL;
}

static int length_parse(const char *text, unsigned max, uint8_t *length)
{
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 3 || text[digits] != '\0' || (digits > 1 && text[0] == '0'))
		return -EINVAL;
	unsigned long value = strtoul(text, NULL, 10);
	if (value > max)
		return -EINVAL;
	*length = (uint8_t)value;
	return 0;
}

static void mask_address(const uint8_t address[16], uint8_t length, uint8_t masked[16])
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned bits = length > i * 8 ? length - i * 8 : 0;
		masked[i] = bits >= 8 ? address[i] : (uint8_t)(address[i] & ~(0xffu >> bits));
	}
}

int prefix_parse(struct span text, struct prefix *prefix)
{
	char copy[64], *slash;
	struct prefix parsed;
	uint8_t shift, masked[16];
	if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len))
		return -EINVAL;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	slash = strchr(copy, '/');
	if (slash)
		*slash = '\0';
	if (address_parse(copy, parsed.address, &shift))
		return -EINVAL;
	parsed.length = (uint8_t)(128 - shift);
	if (slash && length_parse(slash + 1, parsed.length, &parsed.length))
		return -EINVAL;
	parsed.length = (uint8_t)(parsed.length + shift);
	mask_address(parsed.address, parsed.length, masked);
	if (memcmp(masked, parsed.address, sizeof(masked)))
		return -EINVAL;
	*prefix = parsed;
	return 0;
}

const char *address_fault(const uint8_t address[16])
{
	static const uint8_t zeros[16], broadcast[4] = {0xff, 0xff, 0xff, 0xff};
	const uint8_t *last = address + sizeof(ipv4_mapped);
	bool ipv4 = memcmp(address, ipv4_mapped, sizeof(ipv4_mapped)) == 0;
	if (memcmp(ipv4 ? last : address, zeros, ipv4 ? 4 : 16) == 0)
		return "is the unspecified address";
	if (ipv4 && memcmp(last, broadcast, sizeof(broadcast)) == 0)
		return "is the broadcast address";
	return (ipv4 ? (last[0] & 0xf0) == 0xe0 : address[0] == 0xff) ? "is a multicast address" : NULL;
}

/* ------- the picture ------- */

struct text {
	uint32_t offset, length;
};

struct service_row {
	uint32_t id;
	struct text group, operator_group;
};

struct group_row {
	struct text name, local_socket, srtp_suites, dtls_profiles, keepalive_names;
	uint32_t side, transport, media, default_service;
	uint32_t first_peer, peer_count;
};

struct peer_row {
	uint32_t id, group;
	struct text name, site, host;
	uint32_t port, weight, priority, admin, capacity, calls_per_second;
	uint32_t first_media, media_count; /* sorted, none within another */
	uint32_t first_target, target_count;
	struct text dns_reason;
};

struct target_row {
	uint8_t address[16];
	uint32_t port, priority, weight;
	struct text name;
};

struct id_row {
	uint32_t id, index;
};

struct source_row {
	struct prefix prefix;
	uint32_t group, peer;
};

/* Sources are sorted longest first; each length has one row here. */
struct length_row {
	uint32_t length, first, count;
};

struct table {
	uint32_t offset, count;
};

struct picture {
	uint64_t size;
	uint64_t lasting; /* what follows are the targets and their texts */
	struct table services, groups, peers, ids, sources, lengths, media, targets;
	struct topology_settings settings;
	struct text custom_header;
};

struct builder {
	char *base;
	uint64_t used, size;
};

/* The next piece of the slot, 8-byte aligned; NULL once it is full. */
static void *builder_take(struct builder *builder, size_t size, uint32_t *offset)
{
	uint64_t start = (builder->used + 7) / 8 * 8;
	if (start + size > builder->size)
		return NULL;
	builder->used = start + size;
	*offset = (uint32_t)start;
	return builder->base + start;
}

static void *builder_table(struct builder *builder, struct table *table, size_t count, size_t row)
{
	table->count = (uint32_t)count;
	return builder_take(builder, count * row, &table->offset);
}

static int builder_text(struct builder *builder, struct span span, struct text *text)
{
	char *to = builder_take(builder, span.len, &text->offset);
	if (!to)
		return -ENOSPC;
	if (span.len)
		memcpy(to, span.ptr, span.len);
	text->length = (uint32_t)span.len;
	return 0;
}

static int by_id(const void *left, const void *right)
{
	const struct id_row *a = left, *b = right;
	return a->id < b->id ? -1 : a->id > b->id;
}

static int compare_prefix(const struct prefix *a, const struct prefix *b)
{
	if (a->length != b->length)
		return a->length > b->length ? -1 : 1;
	return memcmp(a->address, b->address, sizeof(a->address));
}

static int by_prefix(const void *left, const void *right)
{
	const struct source_row *a = left, *b = right;
	int order = compare_prefix(&a->prefix, &b->prefix);
	if (order)
		return order;
	if (a->group != b->group)
		return a->group < b->group ? -1 : 1;
	return a->peer < b->peer ? -1 : a->peer > b->peer;
}

static size_t count_peers(const struct topology *topology)
{
	size_t count = 0;
	for (size_t i = 0; i < topology->group_count; i++)
		count += topology->groups[i].peer_count;
	return count;
}

static size_t count_sources(const struct topology *topology)
{
	size_t count = 0;
	for (size_t i = 0; i < topology->group_count; i++)
		for (size_t k = 0; k < topology->groups[i].peer_count; k++)
			count += topology->groups[i].peers[k].source_count + 1;
	return count;
}

static size_t count_media(const struct topology *topology)
{
	size_t count = 0;
	for (size_t i = 0; i < topology->group_count; i++)
		for (size_t k = 0; k < topology->groups[i].peer_count; k++)
			count += topology->groups[i].peers[k].media_count;
	return count;
}

static int build_services(struct builder *builder, struct picture *picture, const struct topology *topology)
{
	struct service_row *rows = builder_table(builder, &picture->services, topology->service_count, sizeof(*rows));
	if (!rows)
		return -ENOSPC;
	for (size_t i = 0; i < topology->service_count; i++) {
		rows[i].id = topology->services[i].id;
		if (builder_text(builder, topology->services[i].group, &rows[i].group) ||
		    builder_text(builder, topology->services[i].operator_group, &rows[i].operator_group))
			return -ENOSPC;
	}
	return 0;
}

static int build_peer(struct builder *builder, struct peer_row *row, const struct topology_peer *peer, uint32_t group)
{
	row->id = peer->id;
	row->group = group;
	row->port = peer->port;
	row->weight = peer->weight;
	row->priority = peer->priority;
	row->admin = peer->admin;
	row->capacity = peer->capacity;
	row->calls_per_second = peer->calls_per_second;
	if (builder_text(builder, peer->name, &row->name) || builder_text(builder, peer->site, &row->site) ||
	    builder_text(builder, peer->host, &row->host))
		return -ENOSPC;
	return 0;
}

static int build_group(struct builder *builder, struct group_row *row, const struct topology_group *group)
{
	row->side = group->side;
	row->transport = group->transport;
	row->media = group->media;
	row->default_service = group->default_service;
	row->peer_count = (uint32_t)group->peer_count;
	if (builder_text(builder, group->name, &row->name) ||
	    builder_text(builder, group->local_socket, &row->local_socket) ||
	    builder_text(builder, group->srtp_suites, &row->srtp_suites) ||
	    builder_text(builder, group->dtls_profiles, &row->dtls_profiles) ||
	    builder_text(builder, group->keepalive_names, &row->keepalive_names))
		return -ENOSPC;
	return 0;
}

static int build_groups(struct builder *builder, struct picture *picture, const struct topology *topology)
{
	size_t peer_count = count_peers(topology);
	struct group_row *groups = builder_table(builder, &picture->groups, topology->group_count, sizeof(*groups));
	struct peer_row *peers = builder_table(builder, &picture->peers, peer_count, sizeof(*peers));
	struct id_row *ids = builder_table(builder, &picture->ids, peer_count, sizeof(*ids));
	if (!groups || !peers || !ids)
		return -ENOSPC;
	uint32_t next = 0;
	for (uint32_t i = 0; i < topology->group_count; i++) {
		const struct topology_group *group = &topology->groups[i];
		groups[i].first_peer = next;
		if (build_group(builder, &groups[i], group))
			return -ENOSPC;
		for (size_t k = 0; k < group->peer_count; k++, next++) {
			ids[next] = (struct id_row){.id = group->peers[k].id, .index = next};
			if (build_peer(builder, &peers[next], &group->peers[k], i))
				return -ENOSPC;
		}
	}
	qsort(ids, peer_count, sizeof(*ids), by_id);
	return 0;
}

static size_t peer_sources(struct source_row *rows, const struct topology_peer *peer, uint32_t group)
{
	size_t count = 0;
	struct prefix host;
	for (; count < peer->source_count; count++)
		rows[count] = (struct source_row){peer->sources[count], group, peer->id};
	if (count == 0 && prefix_parse(peer->host, &host) == 0)
		rows[count++] = (struct source_row){host, group, peer->id};
	return count;
}

/* Several peers of a group behind one prefix: the group is known, the peer is not. */
static size_t merge_sources(struct source_row *rows, size_t count)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		struct source_row *last = kept ? &rows[kept - 1] : NULL;
		if (last && last->group == rows[i].group && !compare_prefix(&last->prefix, &rows[i].prefix)) {
			if (last->peer != rows[i].peer)
				last->peer = TOPOLOGY_NONE;
		} else {
			rows[kept++] = rows[i];
		}
	}
	return kept;
}

static int build_lengths(struct builder *builder, struct picture *picture, const struct source_row *rows)
{
	struct length_row *lengths = builder_table(builder, &picture->lengths, 129, sizeof(*lengths));
	if (!lengths)
		return -ENOSPC;
	uint32_t used = 0;
	for (uint32_t i = 0; i < picture->sources.count; i++) {
		if (used == 0 || lengths[used - 1].length != rows[i].prefix.length)
			lengths[used++] = (struct length_row){.length = rows[i].prefix.length, .first = i};
		lengths[used - 1].count++;
	}
	picture->lengths.count = used;
	return 0;
}

static int build_sources(struct builder *builder, struct picture *picture, const struct topology *topology)
{
	struct source_row *rows = builder_table(builder, &picture->sources, count_sources(topology), sizeof(*rows));
	if (!rows)
		return -ENOSPC;
	size_t count = 0;
	for (uint32_t i = 0; i < topology->group_count; i++)
		for (size_t k = 0; k < topology->groups[i].peer_count; k++)
			count += peer_sources(rows + count, &topology->groups[i].peers[k], i);
	qsort(rows, count, sizeof(*rows), by_prefix);
	picture->sources.count = (uint32_t)merge_sources(rows, count);
	return build_lengths(builder, picture, rows);
}

static int by_address(const void *left, const void *right)
{
	const struct prefix *a = left, *b = right;
	int order = memcmp(a->address, b->address, sizeof(a->address));
	return order ? order : (a->length > b->length) - (a->length < b->length);
}

static bool prefix_holds(const struct prefix *prefix, const uint8_t address[16])
{
	uint8_t masked[16];
	mask_address(address, prefix->length, masked);
	return memcmp(masked, prefix->address, sizeof(masked)) == 0;
}

/* Sorted, and without those that another one holds: so the last one not after an address decides. */
static size_t merge_media(struct prefix *prefixes, size_t count)
{
	size_t kept = 0;
	qsort(prefixes, count, sizeof(*prefixes), by_address);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || !prefix_holds(&prefixes[kept - 1], prefixes[i].address))
			prefixes[kept++] = prefixes[i];
	return kept;
}

static int build_media(struct builder *builder, struct picture *picture, const struct topology *topology)
{
	struct prefix *rows = builder_table(builder, &picture->media, count_media(topology), sizeof(*rows));
	struct peer_row *peer = (struct peer_row *)(builder->base + picture->peers.offset);
	uint32_t next = 0;
	if (!rows)
		return -ENOSPC;
	for (uint32_t i = 0; i < topology->group_count; i++) {
		for (size_t k = 0; k < topology->groups[i].peer_count; k++, peer++) {
			const struct topology_peer *from = &topology->groups[i].peers[k];
			if (from->media_count)
				memcpy(rows + next, from->media, from->media_count * sizeof(*rows));
			peer->first_media = next;
			peer->media_count = (uint32_t)merge_media(rows + next, from->media_count);
			next += peer->media_count;
		}
	}
	picture->media.count = next;
	return 0;
}

/* A host that is an address is its own target. */
static void find_targets(const struct peer_row *peer, struct span host, enum transport transport,
			 const struct target_source *source, struct topology_target *own, struct target_list *found)
{
	struct prefix address;
	*found = (struct target_list){.reason = SPAN_LIT("not looked up")};
	if (prefix_parse(host, &address) == 0) {
		*own = (struct topology_target){.port = peer->port ? (uint16_t)peer->port : transport_port(transport)};
		memcpy(own->address, address.address, sizeof(own->address));
		*found = (struct target_list){.targets = own, .count = 1};
	} else if (source) {
		source->find(source->context, host, (uint16_t)peer->port, transport, found);
	}
}

static struct peer_row *peers_of(const struct builder *builder, const struct picture *picture)
{
	return (struct peer_row *)(builder->base + picture->peers.offset);
}

static void find_at(const struct builder *builder, const struct picture *picture, uint32_t index,
		    const struct target_source *source, struct topology_target *own, struct target_list *found)
{
	const struct peer_row *peer = &peers_of(builder, picture)[index];
	const struct group_row *groups = (const struct group_row *)(builder->base + picture->groups.offset);
	struct span host = {builder->base + peer->host.offset, peer->host.length};
	find_targets(peer, host, groups[peer->group].transport, source, own, found);
}

static int build_target(struct builder *builder, struct target_row *row, const struct topology_target *target)
{
	row->port = target->port;
	row->priority = target->srv_priority;
	row->weight = target->srv_weight;
	memcpy(row->address, target->address, sizeof(row->address));
	return builder_text(builder, target->name, &row->name);
}

/* All rows, then their texts; each peer is asked for twice, because what it gives lives until the next call. */
static int build_targets(struct builder *builder, struct picture *picture, const struct target_source *source)
{
	struct topology_target own;
	struct target_list found;
	size_t count = 0;
	uint32_t next = 0;
	picture->lasting = builder->used;
	for (uint32_t i = 0; i < picture->peers.count; i++) {
		find_at(builder, picture, i, source, &own, &found);
		count += found.count;
	}
	struct target_row *rows = builder_table(builder, &picture->targets, count, sizeof(*rows));
	if (!rows)
		return -ENOSPC;
	for (uint32_t i = 0; i < picture->peers.count; i++) {
		struct peer_row *peer = &peers_of(builder, picture)[i];
		find_at(builder, picture, i, source, &own, &found);
		peer->first_target = next;
		peer->target_count = (uint32_t)found.count;
		if (builder_text(builder, found.reason, &peer->dns_reason))
			return -ENOSPC;
		for (size_t k = 0; k < found.count; k++)
			if (build_target(builder, &rows[next++], &found.targets[k]))
				return -ENOSPC;
	}
	picture->size = builder->used;
	return 0;
}

static int build_picture(struct builder *builder, const struct topology *topology)
{
	uint32_t start;
	struct picture *picture = builder_take(builder, sizeof(*picture), &start);
	if (!picture)
		return -ENOSPC;
	picture->settings = topology->settings;
	picture->settings.custom_header = (struct span){0}; /* no pointer of the writer in the region */
	if (builder_text(builder, topology->settings.custom_header, &picture->custom_header) ||
	    build_services(builder, picture, topology) || build_groups(builder, picture, topology) ||
	    build_sources(builder, picture, topology) || build_media(builder, picture, topology))
		return -ENOSPC;
	return build_targets(builder, picture, topology->names);
}

int topology_publish(struct region *region, const struct topology *topology)
{
	uint64_t next = atomic_load(&region->topology_root) + 1;
	const struct area *slot = &region->topology[next % TOPOLOGY_SLOTS];
	struct builder builder = {.base = region_at(region, slot->offset), .size = slot->size};
	region_discard(region, slot);
	int result = build_picture(&builder, topology);
	if (result == 0)
		atomic_store_explicit(&region->topology_root, next, memory_order_seq_cst);
	return result;
}

int topology_retarget(struct region *region, const struct target_source *source)
{
	uint64_t now = atomic_load(&region->topology_root), next = now + 1;
	if (now == 0)
		return -EAGAIN;
	const struct area *slot = &region->topology[next % TOPOLOGY_SLOTS];
	const struct picture *current = region_at(region, region->topology[now % TOPOLOGY_SLOTS].offset);
	struct builder builder = {
		.base = region_at(region, slot->offset), .used = current->lasting, .size = slot->size};
	region_discard(region, slot);
	memcpy(builder.base, current, current->lasting);
	int result = build_targets(&builder, (struct picture *)builder.base, source);
	if (result == 0)
		atomic_store_explicit(&region->topology_root, next, memory_order_seq_cst);
	return result;
}

/* ------- reading ------- */

uint64_t topology_generation(const struct region *region)
{
	return region_ready(region) ? atomic_load_explicit(&region->topology_root, memory_order_acquire) : 0;
}

int topology_open(const struct region *region, struct topology_view *view)
{
	uint64_t generation = topology_generation(region);
	if (generation == 0)
		return -EAGAIN;
	view->region = region;
	view->generation = generation;
	view->picture = region_at(region, region->topology[generation % TOPOLOGY_SLOTS].offset);
	return 0;
}

bool topology_current(const struct topology_view *view)
{
	/* A slot is written again when TOPOLOGY_SLOTS - 1 later pictures stand: until then what was read is whole. */
	atomic_thread_fence(memory_order_acquire);
	return topology_generation(view->region) - view->generation < TOPOLOGY_SLOTS - 1;
}

static uint64_t slot_size(const struct topology_view *view)
{
	return view->region->topology[view->generation % TOPOLOGY_SLOTS].size;
}

static const void *row_at(const struct topology_view *view, struct table table, uint32_t index, size_t size)
{
	if (index >= table.count || table.offset + ((uint64_t)index + 1) * size > slot_size(view))
		return NULL;
	return (const char *)view->picture + table.offset + index * size;
}

static struct span text_within(const struct topology_view *view, struct text text, uint32_t max)
{
	if ((uint64_t)text.offset + text.length > slot_size(view) || text.length > max)
		return (struct span){"", 0};
	return (struct span){(const char *)view->picture + text.offset, text.length};
}

static struct span text_at(const struct topology_view *view, struct text text)
{
	return text_within(view, text, TOPOLOGY_HOST_MAX);
}

static const struct picture *picture_of(const struct topology_view *view)
{
	return view->picture;
}

uint32_t topology_group_count(const struct topology_view *view)
{
	return picture_of(view)->groups.count;
}

uint32_t topology_peer_count(const struct topology_view *view)
{
	return picture_of(view)->peers.count;
}

int topology_group(const struct topology_view *view, uint32_t index, struct group_view *group)
{
	const struct group_row *row = row_at(view, picture_of(view)->groups, index, sizeof(*row));
	if (!row)
		return -ENOENT;
	*group = (struct group_view){
		.index = index,
		.name = text_at(view, row->name),
		.local_socket = text_at(view, row->local_socket),
		.side = row->side,
		.transport = row->transport,
		.media = row->media,
		.default_service = (uint16_t)row->default_service,
		.srtp_suites = text_within(view, row->srtp_suites, TOPOLOGY_LIST_MAX),
		.dtls_profiles = text_within(view, row->dtls_profiles, TOPOLOGY_LIST_MAX),
		.keepalive_names = text_within(view, row->keepalive_names, TOPOLOGY_LIST_MAX),
		.first_peer = row->first_peer,
		.peer_count = row->peer_count,
	};
	return 0;
}

int topology_group_by_name(const struct topology_view *view, struct span name, struct group_view *group)
{
	for (uint32_t i = 0; topology_group(view, i, group) == 0; i++)
		if (span_equal(group->name, name))
			return 0;
	return -ENOENT;
}

int topology_peer(const struct topology_view *view, uint32_t index, struct peer_view *peer)
{
	const struct peer_row *row = row_at(view, picture_of(view)->peers, index, sizeof(*row));
	if (!row)
		return -ENOENT;
	*peer = (struct peer_view){
		.id = row->id,
		.group = row->group,
		.name = text_at(view, row->name),
		.site = text_at(view, row->site),
		.host = text_at(view, row->host),
		.port = (uint16_t)row->port,
		.weight = (uint16_t)row->weight,
		.priority = (uint8_t)row->priority,
		.admin = row->admin,
		.capacity = row->capacity,
		.calls_per_second = row->calls_per_second,
		.first_target = row->first_target,
		.target_count = row->target_count,
		.dns_reason = text_at(view, row->dns_reason),
	};
	return 0;
}

int topology_target(const struct topology_view *view, uint32_t index, struct topology_target *target)
{
	const struct target_row *row = row_at(view, picture_of(view)->targets, index, sizeof(*row));
	if (!row)
		return -ENOENT;
	*target = (struct topology_target){
		.port = (uint16_t)row->port,
		.srv_priority = (uint16_t)row->priority,
		.srv_weight = (uint16_t)row->weight,
		.name = text_at(view, row->name),
	};
	memcpy(target->address, row->address, sizeof(target->address));
	return 0;
}

static const struct id_row *find_id(const struct topology_view *view, uint32_t id)
{
	struct table ids = picture_of(view)->ids;
	for (uint32_t low = 0, high = ids.count; low < high;) {
		uint32_t middle = low + (high - low) / 2;
		const struct id_row *row = row_at(view, ids, middle, sizeof(*row));
		if (!row || row->id == id)
			return row;
		if (row->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

int topology_peer_by_id(const struct topology_view *view, uint32_t id, struct peer_view *peer)
{
	const struct id_row *row = find_id(view, id);
	return row ? topology_peer(view, row->index, peer) : -ENOENT;
}

int topology_peer_by_name(const struct topology_view *view, struct span name, struct peer_view *peer)
{
	for (uint32_t i = 0; topology_peer(view, i, peer) == 0; i++)
		if (span_equal(peer->name, name))
			return 0;
	return -ENOENT;
}

int topology_service(const struct topology_view *view, uint16_t id, struct span *group, struct span *operator_group)
{
	const struct service_row *row;
	for (uint32_t i = 0; (row = row_at(view, picture_of(view)->services, i, sizeof(*row))); i++) {
		if (row->id == id) {
			*group = text_at(view, row->group);
			*operator_group = text_at(view, row->operator_group);
			return 0;
		}
	}
	return -ENOENT;
}

int topology_settings(const struct topology_view *view, struct topology_settings *settings)
{
	*settings = picture_of(view)->settings;
	settings->custom_header = text_at(view, picture_of(view)->custom_header);
	return 0;
}

/* First row of one length whose prefix is not before @p wanted. */
static uint32_t first_not_before(const struct topology_view *view, const struct length_row *length,
				 const struct prefix *wanted)
{
	uint32_t low = length->first, high = length->first + length->count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct source_row *row = row_at(view, picture_of(view)->sources, middle, sizeof(*row));
		if (row && compare_prefix(&row->prefix, wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Looks through the groups that have exactly this prefix. */
static int match_prefix(const struct topology_view *view, const struct length_row *length, const struct prefix *wanted,
			enum transport transport, struct span local_socket, struct sender *sender)
{
	int result = -ENOENT;
	const struct source_row *row;
	struct group_view group;
	for (uint32_t i = first_not_before(view, length, wanted);
	     (row = row_at(view, picture_of(view)->sources, i, sizeof(*row))) && !compare_prefix(&row->prefix, wanted);
	     i++) {
		if (topology_group(view, row->group, &group))
			return -ENOENT;
		if (group.local_socket.len && !span_equal(group.local_socket, local_socket))
			continue;
		if (group.transport != transport) {
			result = -EPROTOTYPE;
			continue;
		}
		*sender = (struct sender){.group = row->group, .peer = row->peer};
		return 0;
	}
	return result;
}

int topology_identify(const struct topology_view *view, const uint8_t address[16], enum transport transport,
		      struct span local_socket, struct sender *sender)
{
	int result = -ENOENT;
	const struct length_row *length;
	for (uint32_t i = 0; (length = row_at(view, picture_of(view)->lengths, i, sizeof(*length))); i++) {
		struct prefix wanted = {.length = (uint8_t)length->length};
		mask_address(address, wanted.length, wanted.address);
		int matched = match_prefix(view, length, &wanted, transport, local_socket, sender);
		if (matched == 0)
			return 0;
		if (matched == -EPROTOTYPE)
			result = matched;
	}
	return result;
}

static bool media_holds(const struct topology_view *view, const struct peer_row *peer, const uint8_t address[16])
{
	const struct prefix *row;
	uint32_t low = peer->first_media, high = peer->first_media + peer->media_count;
	if (peer->media_count == 0)
		return true;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		row = row_at(view, picture_of(view)->media, middle, sizeof(*row));
		if (row && memcmp(row->address, address, sizeof(row->address)) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	row = low > peer->first_media ? row_at(view, picture_of(view)->media, low - 1, sizeof(*row)) : NULL;
	return row && prefix_holds(row, address);
}

bool topology_media_allowed(const struct topology_view *view, uint32_t peer, uint32_t group, const uint8_t address[16])
{
	const struct id_row *id = peer != TOPOLOGY_NONE ? find_id(view, peer) : NULL;
	const struct group_row *row = row_at(view, picture_of(view)->groups, group, sizeof(*row));
	uint32_t first = row ? row->first_peer : 0, count = row ? row->peer_count : 0;
	const struct peer_row *candidate;
	if (peer != TOPOLOGY_NONE) {
		first = id ? id->index : 0;
		count = id ? 1 : 0;
	}
	for (uint32_t i = first; i - first < count; i++) {
		candidate = row_at(view, picture_of(view)->peers, i, sizeof(*candidate));
		if (!candidate)
			return false;
		if (media_holds(view, candidate, address))
			return true;
	}
	return false;
}
