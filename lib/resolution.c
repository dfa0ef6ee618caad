/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Names, the questions behind them, and the targets that the answers make. */
#include "resolution.h"

#include <stdio.h>
#include <stdlib.h>

enum { REASON_SIZE = TOPOLOGY_HOST_MAX + 1 };

/* A question and its last good answer. */
struct entry {
	struct question question;
	enum {
		ENTRY_UNASKED, /* records may be seeded */
		ENTRY_GOOD,
		ENTRY_NONE,
		ENTRY_FAILED, /* records are those of before */
	} state;
	bool asked; /* an answer is waited for */
	bool cut;   /* the answer held more records */
	bool used;
	unsigned failures; /* in a row */
	int64_t due_ms;
	const char *reason;
	struct record *records;
	size_t count;
};

/* What peers name. */
struct name {
	char host[RESOLUTION_NAME_SIZE];
	uint16_t port;
	enum transport transport;
	bool wanted;
	char reason[REASON_SIZE];
	struct topology_target targets[RESOLUTION_TARGETS_MAX];
	char hosts[RESOLUTION_TARGETS_MAX][RESOLUTION_NAME_SIZE]; /* names of the targets */
	size_t count;
};

/* Pointers in the order of their keys. */
struct index {
	void **items;
	size_t count, size;
};

struct resolution {
	struct index entries, names;
	int64_t due_ms; /* not after that of any entry */
	bool unsettled;
};

/* ------- the two indexes ------- */

static int compare_entry(const void *key, const void *item)
{
	const struct question *a = key, *b = &((const struct entry *)item)->question;
	int order = strcmp(a->name, b->name);
	return order ? order : (a->type > b->type) - (a->type < b->type);
}

static int compare_name(const void *key, const void *item)
{
	const struct name *a = key, *b = item;
	int order = strcmp(a->host, b->host);
	if (order == 0)
		order = (a->port > b->port) - (a->port < b->port);
	return order ? order : (a->transport > b->transport) - (a->transport < b->transport);
}

/* The item, or NULL and the place where it belongs. */
static void *index_find(const struct index *index, const void *key, int (*compare)(const void *, const void *),
			size_t *place)
{
	size_t low = 0, high = index->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare(key, index->items[middle]);
		if (order == 0)
			return index->items[middle];
		if (order > 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (place)
		*place = low;
	return NULL;
}

static bool index_add(struct index *index, size_t place, void *item)
{
	if (index->count == index->size) {
		size_t size = index->size ? 2 * index->size : 16;
		void **items = realloc(index->items, size * sizeof(*items));
		if (!items)
			return false;
		index->items = items;
		index->size = size;
	}
	memmove(index->items + place + 1, index->items + place, (index->count - place) * sizeof(*index->items));
	index->items[place] = item;
	index->count++;
	return true;
}

static void entry_free(struct entry *entry)
{
	free(entry->records);
	free(entry);
}

/* DNS does not tell case; a dot at the end says nothing either. */
static bool name_copy(char to[RESOLUTION_NAME_SIZE], const char *prefix, struct span text)
{
	size_t used = strlen(prefix);
	if (text.len && text.ptr[text.len - 1] == '.')
		text.len--;
	if (text.len == 0 || used + text.len >= RESOLUTION_NAME_SIZE)
		return false;
	memcpy(to, prefix, used);
	for (size_t i = 0; i < text.len; i++)
		to[used + i] = (char)(text.ptr[i] >= 'A' && text.ptr[i] <= 'Z' ? text.ptr[i] + 32 : text.ptr[i]);
	to[used + text.len] = '\0';
	return true;
}

/* The question's entry, made if need be; NULL if there is no room. */
static struct entry *entry_take(struct resolution *resolution, const char *prefix, struct span name,
				enum record_type type)
{
	struct question question = {.type = type};
	size_t place = 0;
	if (!name_copy(question.name, prefix, name))
		return NULL;
	struct entry *entry = index_find(&resolution->entries, &question, compare_entry, &place);
	if (!entry && resolution->entries.count < RESOLUTION_QUESTIONS_MAX) {
		entry = calloc(1, sizeof(*entry));
		if (entry && !index_add(&resolution->entries, place, entry)) {
			free(entry);
			entry = NULL;
		}
		if (entry) {
			entry->question = question;
			resolution->due_ms = INT64_MIN;
		}
	}
	if (entry)
		entry->used = true;
	return entry;
}

/* ------- records ------- */

/* By what they say, so that servers which turn their answers round change nothing. */
static int compare_record(const void *left, const void *right)
{
	const struct record *a = left, *b = right;
	int order = (a->priority > b->priority) - (a->priority < b->priority);
	if (order == 0)
		order = (a->weight < b->weight) - (a->weight > b->weight);
	if (order == 0)
		order = strcmp(a->name, b->name);
	if (order == 0)
		order = (a->port > b->port) - (a->port < b->port);
	return order ? order : memcmp(a->address, b->address, sizeof(a->address));
}

static bool records_equal(const struct record *a, const struct record *b, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (compare_record(&a[i], &b[i]))
			return false;
	return true;
}

/* Returns true if they are others than before. */
static bool records_keep(struct entry *entry, const struct record *records, size_t count)
{
	struct record *copy = count ? malloc(count * sizeof(*copy)) : NULL;
	if (count && !copy)
		return false;
	if (count) {
		memcpy(copy, records, count * sizeof(*copy));
		qsort(copy, count, sizeof(*copy), compare_record);
	}
	entry->cut = count > RESOLUTION_RECORDS_MAX;
	count = entry->cut ? RESOLUTION_RECORDS_MAX : count;
	bool same = entry->count == count && records_equal(entry->records, copy, count);
	free(entry->records);
	entry->records = copy;
	entry->count = count;
	return !same;
}

static void record_add(struct entry *entry, const struct record *record)
{
	for (size_t i = 0; i < entry->count; i++)
		if (compare_record(&entry->records[i], record) == 0)
			return;
	struct record *records = realloc(entry->records, (entry->count + 1) * sizeof(*records));
	if (!records)
		return;
	entry->records = records;
	entry->records[entry->count++] = *record;
}

/* ------- names ------- */

struct resolution *resolution_new(void)
{
	struct resolution *resolution = calloc(1, sizeof(*resolution));
	if (resolution)
		resolution->due_ms = INT64_MAX;
	return resolution;
}

void resolution_free(struct resolution *resolution)
{
	if (!resolution)
		return;
	for (size_t i = 0; i < resolution->entries.count; i++)
		entry_free(resolution->entries.items[i]);
	for (size_t i = 0; i < resolution->names.count; i++)
		free(resolution->names.items[i]);
	free(resolution->entries.items);
	free(resolution->names.items);
	free(resolution);
}

static struct name *name_find(const struct resolution *resolution, struct span host, uint16_t port,
			      enum transport transport, size_t *place, struct name *key)
{
	key->port = port;
	key->transport = transport;
	return name_copy(key->host, "", host) ? index_find(&resolution->names, key, compare_name, place) : NULL;
}

static struct name *name_take(struct resolution *resolution, struct span host, uint16_t port, enum transport transport)
{
	struct name key = {0};
	size_t place = 0;
	struct name *name = name_find(resolution, host, port, transport, &place, &key);
	if (name || !key.host[0] || resolution->names.count >= RESOLUTION_QUESTIONS_MAX)
		return name;
	name = malloc(sizeof(*name));
	if (name)
		*name = key;
	if (name && !index_add(&resolution->names, place, name)) {
		free(name);
		return NULL;
	}
	resolution->unsettled = true;
	return name;
}

void resolution_begin(struct resolution *resolution)
{
	for (size_t i = 0; i < resolution->names.count; i++)
		((struct name *)resolution->names.items[i])->wanted = false;
}

void resolution_want(struct resolution *resolution, struct span host, uint16_t port, enum transport transport)
{
	struct prefix address;
	if (prefix_parse(host, &address) == 0)
		return;
	struct name *name = name_take(resolution, host, port, transport);
	if (name)
		name->wanted = true;
}

void resolution_end(struct resolution *resolution)
{
	size_t kept = 0;
	for (size_t i = 0; i < resolution->names.count; i++) {
		struct name *name = resolution->names.items[i];
		if (name->wanted)
			resolution->names.items[kept++] = name;
		else
			free(name);
	}
	resolution->unsettled = resolution->unsettled || kept != resolution->names.count;
	resolution->names.count = kept;
}

/* ------- from answers to targets ------- */

/* RFC 3263 section 4.1; sips over TCP is TLS. */
static const char *const srv_prefixes[] = {
	[TRANSPORT_UDP] = "_sip._udp.",
	[TRANSPORT_TCP] = "_sip._tcp.",
	[TRANSPORT_TLS] = "_sips._tcp.",
};

static const char *type_name(enum record_type type)
{
	return type == RECORD_A ? "A" : type == RECORD_AAAA ? "AAAA" : "SRV";
}

/* What the answers make of one name. */
struct harvest {
	struct resolution *resolution;
	bool pending; /* a question was not asked yet */
	bool cut;
	const struct entry *fault; /* the first one that matters */
	struct name found;
};

static void fault_note(struct harvest *harvest, const struct entry *entry)
{
	if (!harvest->fault && entry->reason)
		harvest->fault = entry;
}

static void target_add(struct harvest *harvest, const struct record *record, const struct record *srv, uint16_t port)
{
	struct name *name = &harvest->found;
	for (size_t i = 0; i < name->count; i++)
		if (name->targets[i].port == port && !memcmp(name->targets[i].address, record->address, 16))
			return;
	if (name->count == RESOLUTION_TARGETS_MAX) {
		harvest->cut = true;
		return;
	}
	struct topology_target *target = &name->targets[name->count];
	*target = (struct topology_target){.port = port};
	memcpy(target->address, record->address, sizeof(target->address));
	name->hosts[name->count][0] = '\0';
	if (srv) {
		target->srv_priority = srv->priority;
		target->srv_weight = srv->weight;
		memcpy(name->hosts[name->count], srv->name, sizeof(srv->name));
	}
	name->count++;
}

/* One kind of address of one host. Returns how many there are. */
static size_t addresses_add(struct harvest *harvest, const struct entry *entry, const struct record *srv, uint16_t port)
{
	if (entry->state == ENTRY_UNASKED)
		harvest->pending = true;
	if (entry->state == ENTRY_FAILED && entry->count)
		fault_note(harvest, entry);
	harvest->cut = harvest->cut || entry->cut;
	for (size_t i = 0; i < entry->count; i++)
		target_add(harvest, &entry->records[i], srv, port);
	return entry->count;
}

static void host_add(struct harvest *harvest, struct span host, const struct record *srv, uint16_t port)
{
	const struct entry *a = entry_take(harvest->resolution, "", host, RECORD_A);
	const struct entry *aaaa = entry_take(harvest->resolution, "", host, RECORD_AAAA);
	if (!a || !aaaa) {
		harvest->cut = true;
		return;
	}
	size_t count = addresses_add(harvest, a, srv, port);
	count += addresses_add(harvest, aaaa, srv, port);
	if (count == 0)
		fault_note(harvest, a->state == ENTRY_NONE && aaaa->state == ENTRY_FAILED ? aaaa : a);
}

/* Returns false if the name has no SRV records and is to be taken as a host. */
static bool srv_add(struct harvest *harvest, const struct name *name)
{
	bool is_service = name->host[0] == '_';
	const char *prefix = is_service ? "" : srv_prefixes[name->transport];
	const struct entry *srv = entry_take(harvest->resolution, prefix, span_of(name->host), RECORD_SRV);
	if (!srv) /* no room for it, or no such name possible */
		return is_service;
	if (srv->state == ENTRY_UNASKED)
		harvest->pending = true;
	if (srv->state == ENTRY_NONE && !is_service)
		return false;
	if (srv->state != ENTRY_GOOD)
		fault_note(harvest, srv);
	harvest->cut = harvest->cut || srv->cut;
	for (size_t i = 0; i < srv->count; i++)
		host_add(harvest, span_of(srv->records[i].name), &srv->records[i], srv->records[i].port);
	return true;
}

static void reason_write(const struct harvest *harvest, char reason[REASON_SIZE])
{
	const struct entry *fault = harvest->fault;
	reason[0] = '\0';
	if (fault)
		snprintf(reason, REASON_SIZE, "%.100s: %s: %.*s", type_name(fault->question.type), fault->reason, 180,
			 fault->question.name);
	else if (harvest->cut)
		snprintf(reason, REASON_SIZE, "more than %d targets, or too many names in all: the rest is left out",
			 RESOLUTION_TARGETS_MAX);
}

static bool targets_equal(const struct name *a, const struct name *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct topology_target *x = &a->targets[i], *y = &b->targets[i];
		if (memcmp(x->address, y->address, sizeof(x->address)) || x->port != y->port ||
		    x->srv_priority != y->srv_priority || x->srv_weight != y->srv_weight ||
		    strcmp(a->hosts[i], b->hosts[i]) != 0)
			return false;
	}
	return true;
}

/* Returns true if the name has other targets or another reason now. */
static bool name_settle(struct harvest *harvest, struct name *name, void (*changed)(const char *, const char *))
{
	char reason[REASON_SIZE];
	bool other = false;
	if (!(name->port == 0 || name->host[0] == '_') || !srv_add(harvest, name))
		host_add(harvest, span_of(name->host), NULL, name->port ? name->port : transport_port(name->transport));
	if (harvest->pending)
		return false;
	reason_write(harvest, reason);
	if (harvest->found.count > 0 && !targets_equal(&harvest->found, name)) {
		memcpy(name->targets, harvest->found.targets, sizeof(name->targets));
		memcpy(name->hosts, harvest->found.hosts, sizeof(name->hosts));
		name->count = harvest->found.count;
		other = true;
	}
	if (strcmp(reason, name->reason) != 0) {
		memcpy(name->reason, reason, sizeof(name->reason));
		if (changed)
			changed(name->host, name->reason);
		other = true;
	}
	return other;
}

static void entries_sweep(struct index *entries)
{
	size_t kept = 0;
	for (size_t i = 0; i < entries->count; i++) {
		struct entry *entry = entries->items[i];
		if (entry->used)
			entries->items[kept++] = entry;
		else
			entry_free(entry);
	}
	entries->count = kept;
}

bool resolution_unsettled(const struct resolution *resolution)
{
	return resolution->unsettled;
}

bool resolution_settle(struct resolution *resolution, void (*changed)(const char *host, const char *reason))
{
	bool other = false;
	struct harvest *harvest = malloc(sizeof(*harvest));
	if (!harvest)
		return false;
	for (size_t i = 0; i < resolution->entries.count; i++)
		((struct entry *)resolution->entries.items[i])->used = false;
	for (size_t i = 0; i < resolution->names.count; i++) {
		harvest->resolution = resolution;
		harvest->pending = harvest->cut = false;
		harvest->fault = NULL;
		harvest->found.count = 0;
		other = name_settle(harvest, resolution->names.items[i], changed) || other;
	}
	free(harvest);
	entries_sweep(&resolution->entries);
	resolution->unsettled = false;
	return other;
}

void resolution_find(void *context, struct span host, uint16_t port, enum transport transport,
		     struct target_list *found)
{
	struct name key = {0}, *name = name_find(context, host, port, transport, NULL, &key);
	*found = (struct target_list){.reason = SPAN_LIT("is being looked up")};
	if (!name)
		return;
	for (size_t i = 0; i < name->count; i++)
		name->targets[i].name = span_of(name->hosts[i]);
	found->targets = name->targets;
	found->count = name->count;
	if (name->count || name->reason[0])
		found->reason = span_of(name->reason);
}

/* ------- seeds ------- */

static void target_seed(struct resolution *resolution, struct entry *srv, struct span host,
			const struct topology_target *target)
{
	static const uint8_t ipv4[12] = {[10] = 0xff, [11] = 0xff};
	bool is_ipv4 = memcmp(target->address, ipv4, sizeof(ipv4)) == 0;
	struct record record = {.priority = target->srv_priority, .weight = target->srv_weight, .port = target->port};
	if (target->name.len && srv && name_copy(record.name, "", target->name))
		record_add(srv, &record);
	struct entry *entry =
		entry_take(resolution, "", target->name.len ? target->name : host, is_ipv4 ? RECORD_A : RECORD_AAAA);
	record = (struct record){0};
	memcpy(record.address, target->address, sizeof(record.address));
	if (entry)
		record_add(entry, &record);
}

void resolution_seed(struct resolution *resolution, struct span host, uint16_t port, enum transport transport,
		     const struct topology_target *targets, size_t count)
{
	size_t known = resolution->names.count;
	struct name *name = name_take(resolution, host, port, transport);
	if (!name || resolution->names.count == known || count > RESOLUTION_TARGETS_MAX)
		return;
	struct entry *srv = NULL;
	if (name->port == 0 || name->host[0] == '_')
		srv = entry_take(resolution, name->host[0] == '_' ? "" : srv_prefixes[transport], span_of(name->host),
				 RECORD_SRV);
	for (size_t i = 0; i < count; i++) {
		target_seed(resolution, srv, span_of(name->host), &targets[i]);
		name->targets[i] = targets[i];
		name_copy(name->hosts[i], "", targets[i].name);
	}
	name->count = count;
}

/* ------- questions and answers ------- */

int64_t resolution_due_ms(const struct resolution *resolution)
{
	return resolution->due_ms;
}

/* The one that waits longest, so that names which fail again and again keep no other from its turn. */
bool resolution_next(struct resolution *resolution, int64_t now_ms, struct question *question)
{
	struct entry *first = NULL;
	if (resolution->due_ms > now_ms)
		return false;
	for (size_t i = 0; i < resolution->entries.count; i++) {
		struct entry *entry = resolution->entries.items[i];
		if (!entry->asked && (!first || entry->due_ms < first->due_ms))
			first = entry;
	}
	resolution->due_ms = first ? first->due_ms : INT64_MAX;
	if (!first || first->due_ms > now_ms)
		return false;
	first->asked = true;
	*question = first->question;
	return true;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
	return value < low ? low : value > high ? high : value;
}

/* How long the answer holds. */
static int64_t answer_ms(const struct entry *entry, const struct answer *answer)
{
	switch (answer->kind) {
	case ANSWER_RECORDS:
		return 1000 * clamp(answer->ttl_s, RESOLUTION_TTL_MIN_S, RESOLUTION_TTL_MAX_S);
	case ANSWER_NONE:
		return 1000 * clamp(answer->ttl_s, RESOLUTION_TTL_MIN_S, RESOLUTION_NONE_MAX_S);
	default:
		return clamp((int64_t)RESOLUTION_RETRY_FIRST_MS << clamp(entry->failures - 1, 0, 10), 0,
			     RESOLUTION_RETRY_LAST_MS);
	}
}

void resolution_answer(struct resolution *resolution, const struct question *question, const struct answer *answer,
		       int64_t now_ms)
{
	static const int states[] = {
		[ANSWER_RECORDS] = ENTRY_GOOD, [ANSWER_NONE] = ENTRY_NONE, [ANSWER_FAILED] = ENTRY_FAILED};
	struct entry *entry = index_find(&resolution->entries, question, compare_entry, NULL);
	if (!entry || !entry->asked) /* nobody wants it any more */
		return;
	const char *reason = answer->kind == ANSWER_RECORDS ? NULL : answer->reason;
	bool other = (int)entry->state != states[answer->kind] || entry->reason != reason;
	entry->asked = false;
	entry->failures = answer->kind == ANSWER_FAILED ? entry->failures + 1 : 0;
	entry->due_ms = now_ms + answer_ms(entry, answer);
	entry->state = states[answer->kind];
	entry->reason = reason;
	if (answer->kind != ANSWER_FAILED)
		other = records_keep(entry, answer->records, answer->kind == ANSWER_RECORDS ? answer->count : 0) ||
			other;
	resolution->unsettled = resolution->unsettled || other;
	if (entry->due_ms < resolution->due_ms)
		resolution->due_ms = entry->due_ms;
}
