/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The snapshot: the published number table as a file beside the store, so that a start need not read every number out
 * of SQLite. It only ever saves time: whatever is wrong with it, the table is built from the store.
 *
 * It is used if it is of this store (id), and if the change log has the same digest at its revision; what the log holds
 * after that is looked up in the store. The file is written beside, synced and renamed.
 */
#ifndef TRUNKGATE_SNAPSHOT_H
#define TRUNKGATE_SNAPSHOT_H

#include "bulk.h"
#include "number_table.h"
#include "store.h"

enum { SNAPSHOT_REASON_SIZE = 256, SNAPSHOT_CHANGES_MAX = 100000 };

/** What the table holds, as the loop knows it when the snapshot starts. Later changes may or may not be in it. */
struct snapshot {
	char id[REGION_STORE_ID_SIZE];
	uint64_t revision, digest[2];
};

/**
 * Writes <store>.snapshot of the published table; @p store is a connection of this thread. Returns 0, -ECANCELED,
 * -ESTALE (another table was published meanwhile), or another -errno with @p reason.
 */
int snapshot_write(const struct snapshot *snapshot, struct store *store, const struct region *region,
		   struct bulk_progress *progress, char reason[SNAPSHOT_REASON_SIZE]);

/**
 * Makes an unpublished table of the snapshot and what the log holds after it; @p changes is how many that were. Ranges
 * are in it. Returns 0, -ENOENT (there is none), or another -errno with @p reason: build the table from the store.
 */
int snapshot_read(struct store *store, struct region *region, struct number_table **table, uint64_t *changes,
		  char reason[SNAPSHOT_REASON_SIZE]);

#endif
