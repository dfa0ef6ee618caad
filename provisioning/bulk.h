/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Many numbers and ranges at once: read from a CSV file or the change log, checked, put into the store whole or not at
 * all. 16 bytes a number while it goes on, 32 at most where the memory doubles, as many again while it is sorted.
 */
#ifndef TRUNKGATE_BULK_H
#define TRUNKGATE_BULK_H

#include <stdatomic.h>

#include "fault.h"
#include "range.h"
#include "store.h"
#include "text_pool.h"

enum { BULK_FAULTS_MAX = 100000 };

/** What becomes of a number: it is new, stays, gets another set, or one of another account. */
enum bulk_state { BULK_NEW, BULK_SAME, BULK_CHANGED, BULK_MOVED };

struct bulk_number {
	uint64_t e164 : 56, state : 8;
	uint32_t set; /**< index in bulk->sets */
	union {
		uint32_t line;    /**< until bulk_compare() */
		uint32_t present; /**< then: the id of the set that it has in the store, or 0 */
	};
};

/** A row that was refused. */
struct bulk_fault {
	uint64_t line;
	char column[64], reason[112];
};

/** How far it is; another thread may read it. */
struct bulk_progress {
	atomic_uint_fast64_t done, total;
	atomic_bool cancel;
};

struct bulk {
	struct bulk_progress *progress;
	struct bulk_number *numbers;
	size_t count, room;
	struct ranges ranges;      /**< .set: index in sets */
	struct text_pool sets;     /**< struct bulk_set and header */
	struct text_pool accounts; /**< names of the store's accounts */
	int64_t *account_ids;      /**< the store's integers for them */
	struct bulk_fault *faults; /**< in the order of their lines */
	size_t fault_count, fault_kept, fault_room;
	bool skip_bad;    /**< wrong rows are left out, the others are good */
	bool unreadable;  /**< there is no row to take: the columns are wrong */
	uint64_t skipped; /**< rows left out */
	/* what bulk_compare() found */
	bool compared;
	uint64_t revision;                                     /**< of the store then */
	uint32_t *ids;                                         /**< by index of the set: the store's id, 0: none yet */
	uint64_t digest[2];                                    /**< to be added to the store's */
	uint64_t added, changed, ranges_added, ranges_changed; /**< what bulk_apply() does */
};

/** What the rows have in common. In bulk->sets the header follows it. */
struct bulk_set {
	uint32_t account; /**< index in bulk->accounts */
	uint32_t service;
};

void bulk_finish(struct bulk *bulk);

/** Reads the store's accounts. */
int bulk_init(struct bulk *bulk, struct bulk_progress *progress, struct store *store);

/** Reports a row. Returns 0 or -ENOMEM. */
int bulk_refuse(struct bulk *bulk, uint64_t line, const char *column, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/** Finds or adds a set. Returns 0 or -ENOMEM. */
int bulk_set_add(struct bulk *bulk, const struct bulk_set *set, struct span header, uint32_t *index);
struct bulk_set bulk_set_get(const struct bulk *bulk, uint32_t index, struct span *header);

int bulk_number_add(struct bulk *bulk, const struct bulk_number *number);

/** Rows of a CSV file. Wrong rows are reported and passed over. Returns 0, -ECANCELED or another -errno. */
int bulk_read(struct bulk *bulk, int file);

/** Brings rows into order and reports those that do not go together, or not with what the store holds. */
int bulk_check(struct bulk *bulk, struct store *store);

/** The same for ranges only. */
int bulk_ranges_check(struct bulk *bulk, struct store *store);

/** Finds out what bulk_apply() has to do, so that this needs little time; no transaction is open. */
int bulk_compare(struct bulk *bulk, struct store *store);

/** Sets that bulk_apply() will add, as bulk_compare() found. */
uint64_t bulk_sets_new(const struct bulk *bulk);

/**
 * Puts the rows into the store, in the transaction that is open. If the store has changed since bulk_compare(), that is
 * made good, and ranges are checked once more: look at fault_count.
 */
int bulk_apply(struct bulk *bulk, struct store *store);

/** Puts what bulk_apply() did into a copy of the published table. Returns 0 or -errno. */
int bulk_publish(const struct bulk *bulk, struct store *store, struct number_table *table);

/** Writes the rows to the change log as those of @p revision, and reads them from there. */
int bulk_log_write(const struct bulk *bulk, struct store *store, uint64_t revision);
int bulk_log_read(struct bulk *bulk, struct store *store, uint64_t revision);

/** Writes all numbers and ranges, or those of one account, in order. Adds to @p rows. */
int bulk_export(struct store *store, struct bulk_progress *progress, const char *account, int file, uint64_t *rows);

/** True if the caller should give up. */
static inline bool bulk_cancelled(const struct bulk_progress *progress)
{
	return atomic_load_explicit(&progress->cancel, memory_order_relaxed);
}

static inline void bulk_advance(struct bulk_progress *progress, uint64_t done)
{
	atomic_store_explicit(&progress->done, done, memory_order_relaxed);
}

#endif
