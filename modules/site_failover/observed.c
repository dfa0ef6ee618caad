/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What the node observed of each peer, in shared memory. */
#include "observed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <core/dprint.h>
#include <core/locking.h>
#include <core/mem/shm_mem.h>

#include "state.h"

enum { BUCKETS = 256 };

struct record {
	struct record *next;
	struct observed target;
};

struct table {
	gen_lock_t lock;
	struct record *buckets[BUCKETS];
};

static struct table *table;

int observed_init(void)
{
	table = shm_malloc(sizeof(*table));
	if (!table)
		return -ENOMEM;
	memset(table, 0, sizeof(*table));
	return lock_init(&table->lock) ? 0 : -ENOMEM;
}

void observed_finish(void)
{
	for (size_t i = 0; table && i < BUCKETS; i++)
		for (struct record *entry = table->buckets[i], *next; entry; entry = next) {
			next = entry->next;
			shm_free(entry);
		}
	if (table)
		shm_free(table);
	table = NULL;
}

static struct record **find(uint32_t peer)
{
	struct record **link = &table->buckets[peer % BUCKETS];
	while (*link && (*link)->target.peer != peer)
		link = &(*link)->next;
	return link;
}

int observed_get(uint32_t peer, struct observed *copy)
{
	lock_get(&table->lock);
	struct record *entry = *find(peer);
	if (entry)
		*copy = entry->target;
	lock_release(&table->lock);
	return entry ? 0 : -ENOENT;
}

static struct record *make(struct record **link, uint32_t peer)
{
	struct record *entry = shm_malloc(sizeof(*entry));
	if (!entry)
		return NULL;
	memset(entry, 0, sizeof(*entry));
	entry->target.peer = peer;
	entry->target.health.since_ms = site_clock_ms();
	*link = entry;
	return entry;
}

int observed_change(uint32_t peer, void (*change)(struct observed *target, void *context), void *context)
{
	lock_get(&table->lock);
	struct record **link = find(peer);
	struct record *entry = *link ? *link : make(link, peer);
	if (entry)
		change(&entry->target, context);
	lock_release(&table->lock);
	return entry ? 0 : -ENOMEM;
}

struct observation {
	enum health_event event;
	const char *reason;
	struct health_limits limits;
	bool changed;
	struct observed after;
};

static void observe(struct observed *target, void *context)
{
	struct observation *seen = context;
	if (seen->event != HEALTH_PROBE_OK && seen->event != HEALTH_CALL_OK) {
		target->failures++;
		snprintf(target->reason, sizeof(target->reason), "%s", seen->reason);
	}
	seen->changed = health_event(&target->health, seen->event, &seen->limits, site_clock_ms());
	/* half-open is probed at once, not at the next turn */
	if (seen->changed && target->health.state == HEALTH_PROBING)
		target->next_probe_ms = 0;
	seen->after = *target;
}

void observed_event(uint32_t peer, enum health_event event, const char *reason)
{
	struct topology_settings settings;
	struct observation seen = {.event = event, .reason = reason};
	if (peer == TOPOLOGY_NONE || site_settings(&settings))
		return;
	seen.limits = (struct health_limits){
		.down_after = settings.down_after,
		.up_after = settings.up_after,
		.probe_interval_ms = settings.probe_interval_ms,
	};
	if (observed_change(peer, observe, &seen) || !seen.changed)
		return;
	if (seen.after.health.state == HEALTH_DOWN)
		LM_WARN("peer %s (%u) is down: %s\n", seen.after.name, peer, reason);
	else
		LM_NOTICE("peer %s (%u) is %s\n", seen.after.name, peer, health_state_name(seen.after.health.state));
}

void observed_sweep(bool (*wanted)(uint32_t peer, void *context), void *context)
{
	lock_get(&table->lock);
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct record **link = &table->buckets[i]; *link;) {
			struct record *entry = *link;
			if (wanted(entry->target.peer, context)) {
				link = &entry->next;
				continue;
			}
			*link = entry->next;
			shm_free(entry);
		}
	lock_release(&table->lock);
}
