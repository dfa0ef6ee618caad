/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The store's side of the shared region: what was committed is put in force here. */
#ifndef TRUNKGATE_PUBLISHER_H
#define TRUNKGATE_PUBLISHER_H

#include "number_table.h"
#include "store.h"

/** What one operation changed. Texts live as long as the operation. */
struct publisher_change {
	enum {
		CHANGE_NONE,
		CHANGE_NUMBER_SET,
		CHANGE_NUMBER_DELETE,
		CHANGE_SETS_DROPPED,
		CHANGE_RANGES,
		CHANGE_TOPOLOGY
	} kind;
	uint64_t e164;
	uint32_t set;
	uint16_t service;
	const char *account, *header;
	uint32_t *dropped; /**< malloc'd ids; freed by publisher_change_finish() */
	size_t dropped_count;
};

void publisher_change_finish(struct publisher_change *change);

struct publisher {
	struct region *region;
	struct number_table *table;
	const char *region_name;
	const struct target_source *names; /**< targets of host names, or NULL */
	bool stale;                        /**< the last attempt failed: the next one builds everything anew */
};

/** Builds everything from the store. Returns 0 or -errno; the region then shows what it showed before. */
int publisher_rebuild(struct publisher *publisher, struct store *store);

/**
 * The first time: from the snapshot if there is one that fits, else from the store. @p revision is that of the
 * snapshot, 0 if it was not used; @p reason says why not. Returns as publisher_rebuild().
 */
int publisher_start(struct publisher *publisher, struct store *store, uint64_t *revision, char reason[256]);

/**
 * Builds a number table that nobody sees yet, on any connection and in any thread, while nothing else is published.
 * Returns 0 or -errno.
 */
int publisher_build(struct region *region, struct store *store, struct number_table **table);

/** Puts such a table in force, or with @p rc takes note that building it failed: the next change builds all anew. */
void publisher_swap(struct publisher *publisher, struct store *store, struct number_table *table, int rc);

/** Puts a committed change in force. Returns 0 or -errno; it is tried again with the next change. */
int publisher_apply(struct publisher *publisher, struct store *store, const struct publisher_change *change);

void publisher_finish(struct publisher *publisher);

#endif
