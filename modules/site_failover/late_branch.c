/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Branches of INVITEs that were given up, by their Via branch. */
#include "late_branch.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <core/dprint.h>
#include <core/locking.h>
#include <core/mem/shm_mem.h>
#include <core/timer.h>

#include "state.h"

enum {
	BUCKETS = 4096,
	SLICE = 64,      /* buckets that are cleared under one lock: every answer waits for it */
	BRANCH_MAX = 72, /* tm's own are shorter than 60 */
	TAGS_MAX = 4,    /* answers of one branch with BYE; more are acknowledged only */
};

struct late {
	struct late *next;
	uint64_t tags[TAGS_MAX];
	ticks_t end;
	uint16_t cause;
	uint8_t tag_count, branch_length;
	char branch[BRANCH_MAX];
	uint16_t uri_length;
	char uri[];
};

struct table {
	gen_lock_t lock;
	unsigned count;
	bool full; /* said so in the log */
	struct late *buckets[BUCKETS];
};

static struct table *table;

int late_branch_init(void)
{
	table = shm_malloc(sizeof(*table));
	if (!table)
		return -ENOMEM;
	memset(table, 0, sizeof(*table));
	return lock_init(&table->lock) ? 0 : -ENOMEM;
}

void late_branch_finish(void)
{
	struct table *gone = table;
	table = NULL;
	for (size_t i = 0; gone && i < BUCKETS; i++)
		for (struct late *entry = gone->buckets[i], *next; entry; entry = next) {
			next = entry->next;
			shm_free(entry);
		}
	if (gone)
		shm_free(gone);
}

/* FNV-1a: the branch is our own, nobody else chooses it */
static uint64_t text_hash(str text)
{
	uint64_t value = 0xcbf29ce484222325;
	for (int i = 0; i < text.len; i++)
		value = (value ^ (uint8_t)text.s[i]) * 0x100000001b3;
	return value;
}

static struct late **find(str branch)
{
	struct late **link = &table->buckets[text_hash(branch) % BUCKETS];
	while (*link && ((*link)->branch_length != branch.len || memcmp((*link)->branch, branch.s, (size_t)branch.len)))
		link = &(*link)->next;
	return link;
}

static bool has_room(void)
{
	if (table->count < (unsigned)site_state.parameters.late_max)
		return true;
	if (!table->full)
		LM_WARN("%u abandoned branches: no more are remembered, see late_max\n", table->count);
	table->full = true;
	return false;
}

static struct late *make(struct late **link, str branch, str uri, int cause)
{
	if (!has_room())
		return NULL;
	struct late *entry = shm_malloc(sizeof(*entry) + (size_t)uri.len);
	if (!entry)
		return NULL;
	memset(entry, 0, sizeof(*entry));
	entry->branch_length = (uint8_t)branch.len;
	memcpy(entry->branch, branch.s, (size_t)branch.len);
	entry->uri_length = (uint16_t)uri.len;
	if (uri.len)
		memcpy(entry->uri, uri.s, (size_t)uri.len);
	entry->cause = (uint16_t)cause;
	entry->next = *link;
	*link = entry;
	table->count++;
	return entry;
}

static void prolong(struct late *entry)
{
	entry->end = get_ticks() + (ticks_t)site_state.parameters.late_limit;
}

static struct late *find_or_make(str branch, str uri, int cause)
{
	struct late **link = find(branch), *entry = *link;
	/* the entry of an answer that came while the transaction lived has no URI yet */
	if (entry && entry->uri_length == 0 && uri.len) {
		struct late *fuller = make(&entry->next, branch, uri, cause);
		if (!fuller)
			return entry;
		memcpy(fuller->tags, entry->tags, sizeof(entry->tags));
		fuller->tag_count = entry->tag_count;
		*link = fuller;
		table->count--;
		shm_free(entry);
		return fuller;
	}
	return entry ? entry : make(link, branch, uri, cause);
}

void late_branch_add(str branch, str uri, int cause)
{
	if (!table || branch.len <= 0 || branch.len > BRANCH_MAX || uri.len < 0 || uri.len > UINT16_MAX)
		return;
	lock_get(&table->lock);
	struct late *entry = find_or_make(branch, uri, cause);
	if (entry)
		prolong(entry);
	lock_release(&table->lock);
}

bool late_branch_known(str branch, char *uri, int size, int *cause)
{
	if (!table || branch.len <= 0 || branch.len > BRANCH_MAX)
		return false;
	lock_get(&table->lock);
	struct late *entry = *find(branch);
	if (entry && uri) {
		size_t length = entry->uri_length < size ? entry->uri_length : 0;
		memcpy(uri, entry->uri, length);
		uri[length] = '\0';
	}
	if (entry && cause)
		*cause = entry->cause;
	lock_release(&table->lock);
	return entry;
}

static bool add_tag(struct late *entry, uint64_t tag)
{
	for (uint8_t i = 0; i < entry->tag_count; i++)
		if (entry->tags[i] == tag)
			return false;
	if (entry->tag_count == TAGS_MAX)
		return false;
	entry->tags[entry->tag_count++] = tag;
	return true;
}

bool late_branch_end(str branch, str to_tag, int cause)
{
	bool fresh = true;
	if (!table || branch.len <= 0 || branch.len > BRANCH_MAX)
		return fresh;
	lock_get(&table->lock);
	struct late *entry = find_or_make(branch, (str){.s = "", .len = 0}, cause);
	if (entry) {
		fresh = add_tag(entry, text_hash(to_tag));
		prolong(entry);
	}
	lock_release(&table->lock);
	return fresh;
}

static void remove_tag(struct late *entry, uint64_t tag)
{
	for (uint8_t i = 0; i < entry->tag_count; i++)
		if (entry->tags[i] == tag) {
			entry->tags[i] = entry->tags[--entry->tag_count];
			return;
		}
}

void late_branch_reopen(str branch, str to_tag)
{
	if (!table || branch.len <= 0 || branch.len > BRANCH_MAX)
		return;
	lock_get(&table->lock);
	struct late *entry = *find(branch);
	if (entry)
		remove_tag(entry, text_hash(to_tag));
	lock_release(&table->lock);
}

static void expire_bucket(struct late **link, ticks_t now)
{
	while (*link) {
		struct late *entry = *link;
		if ((s_ticks_t)(entry->end - now) > 0) {
			link = &entry->next;
			continue;
		}
		*link = entry->next;
		table->count--;
		shm_free(entry);
	}
}

static void expire_slice(size_t first, ticks_t now)
{
	lock_get(&table->lock);
	for (size_t i = first; i < first + SLICE; i++)
		expire_bucket(&table->buckets[i], now);
	if (table->count < (unsigned)site_state.parameters.late_max / 2)
		table->full = false;
	lock_release(&table->lock);
}

void late_branch_expire(void)
{
	ticks_t now = get_ticks();
	for (size_t first = 0; first < BUCKETS; first += SLICE)
		expire_slice(first, now);
}
