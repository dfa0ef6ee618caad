/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The job that compares the published table with the store.
 *
 * Changes go on meanwhile, so what the thread finds is looked at again by the loop, where store and table agree.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"

enum { SUSPECTS_MAX = 1000, STEP = 1024 };

struct verifier {
	struct job *job;
	struct store *store;
	const struct region *region;
	uint64_t suspects[SUSPECTS_MAX];
	size_t count;
	uint64_t seen, found;
};

static void suspect_add(struct verifier *verifier, uint64_t e164)
{
	if (verifier->count < SUSPECTS_MAX)
		verifier->suspects[verifier->count++] = e164;
}

static int step(struct verifier *verifier)
{
	if (++verifier->seen % STEP)
		return 0;
	bulk_advance(&verifier->job->progress, verifier->seen);
	return bulk_cancelled(&verifier->job->progress) ? -ECANCELED : 0;
}

/* The store's sets by id, so that their content is compared too. */
static bool set_equal(const struct attribute_set *set, sqlite3_stmt *statement, int column)
{
	return set->id == (uint32_t)sqlite3_column_int64(statement, column) &&
	       set->service == sqlite3_column_int(statement, column + 1) &&
	       strcmp(set->account, store_text(statement, column + 2)) == 0 &&
	       strcmp(set->header, store_text(statement, column + 3)) == 0;
}

static int numbers_compare(struct verifier *verifier)
{
	sqlite3_stmt *statement;
	struct attribute_set set;
	int rc = store_select(verifier->store, &statement,
			      "SELECT n.e164, s.id, s.service, s.account, s.header FROM number n"
			      " CROSS JOIN attribute_set s ON s.id = n.attribute_set ORDER BY n.e164",
			      "");

	while (rc == 0 && (rc = store_step(verifier->store, &statement)) > 0) {
		uint64_t e164 = (uint64_t)sqlite3_column_int64(statement, 0);
		if (number_table_find(verifier->region, e164, &set) == 0 && set_equal(&set, statement, 1))
			verifier->found++;
		else
			suspect_add(verifier, e164);
		rc = step(verifier);
		if (rc)
			sqlite3_finalize(statement);
	}
	return rc;
}

/* Only if the table has another count: what is in it and not in the store. */
static int table_compare(struct verifier *verifier)
{
	uint64_t cursor = 0, e164;
	int64_t stored;
	uint32_t set;
	int rc = 0;

	while (rc == 0 && number_table_next(verifier->region, &cursor, &e164, &set) > 0) {
		rc = store_integer(verifier->store, &stored, "SELECT attribute_set FROM number WHERE e164 = ?", "i",
				   (int64_t)e164);
		if (rc == -ENOENT || (rc == 0 && stored != set))
			suspect_add(verifier, e164);
		rc = rc == -ENOENT ? step(verifier) : rc;
	}
	return rc;
}

/* What the store says: the number's own set, or that of the narrowest range; 0 if neither. */
static int expected_set(struct store *store, uint64_t e164, int64_t *set)
{
	int rc = store_integer(store, set, "SELECT attribute_set FROM number WHERE e164 = ?", "i", (int64_t)e164);

	if (rc == -ENOENT)
		rc = store_integer(store, set,
				   "SELECT attribute_set FROM number_range WHERE first <= ?1 AND last >= ?1"
				   " ORDER BY first DESC, last LIMIT 1",
				   "i", (int64_t)e164);
	*set = rc == 0 ? *set : 0;
	return rc == -ENOENT ? 0 : rc;
}

static int64_t published_set(const struct region *region, uint64_t e164)
{
	struct attribute_set set;

	return number_table_find(region, e164, &set) == 0 ? (int64_t)set.id : 0;
}

static int ranges_compare(struct verifier *verifier)
{
	struct ranges ranges = {0};
	int rc = ranges_load(verifier->store, 0, INT64_MAX, &ranges);

	for (size_t i = 0; i < ranges.count && rc == 0; i++) {
		const struct range *range = &ranges.list[i];
		const struct range *next = i + 1 < ranges.count ? range + 1 : NULL;
		/* where a narrower one begins as well, that one answers */
		bool first = !next || next->first != range->first;
		bool last = !next || next->first > range->last;
		if (first && published_set(verifier->region, range->first) != range->set)
			suspect_add(verifier, range->first);
		if (last && published_set(verifier->region, range->last) != range->set)
			suspect_add(verifier, range->last);
		rc = step(verifier);
	}
	ranges_finish(&ranges);
	return rc;
}

static int suspects_keep(struct job *job, const struct verifier *verifier)
{
	job->suspects = calloc(verifier->count + 1, sizeof(*job->suspects));
	if (!job->suspects)
		return -ENOMEM;
	memcpy(job->suspects, verifier->suspects, verifier->count * sizeof(*job->suspects));
	job->suspect_count = verifier->count;
	return 0;
}

static int verify_run(struct job *job, struct store *store)
{
	struct verifier *verifier = calloc(1, sizeof(*verifier));

	if (!verifier)
		return -ENOMEM;
	*verifier = (struct verifier){.job = job, .store = store, .region = job->provisioner->publisher->region};
	job->result = json_object_new_object();
	job_phase_set(job, JOB_READ, (uint64_t)store->number_count);
	int rc = store_run(store, "BEGIN", "");
	if (rc == 0)
		rc = numbers_compare(verifier);
	if (rc == 0)
		rc = ranges_compare(verifier);
	if (rc == 0 && number_table_count(verifier->region) != verifier->found)
		rc = table_compare(verifier);
	store_rollback(store);
	if (rc == 0)
		rc = suspects_keep(job, verifier);
	json_object_object_add(job->result, "numbers", json_object_new_int64((int64_t)verifier->found));
	free(verifier);
	return rc;
}

static void difference_add(struct bulk *bulk, uint64_t e164, int64_t stored, int64_t published)
{
	char number[NUMBER_TEXT_SIZE], places[2][32] = {"nothing", "nothing"};

	number_format(e164, number);
	if (stored)
		snprintf(places[0], sizeof(places[0]), "attribute set %lld", (long long)stored);
	if (published)
		snprintf(places[1], sizeof(places[1]), "attribute set %lld", (long long)published);
	bulk_refuse(bulk, 0, number, "the store has %s, the table %s", places[0], places[1]);
}

/* The same number may be there twice: in the store's order and the table's. */
static void verify_finish(struct job *job)
{
	struct provisioner *provisioner = job->provisioner;
	const struct region *region = provisioner->publisher->region;
	struct bulk bulk = {0};

	for (size_t i = 0; i < job->suspect_count && job->rc == 0; i++) {
		int64_t stored = 0, published = published_set(region, job->suspects[i]);
		job->rc = expected_set(provisioner->store, job->suspects[i], &stored);
		if (job->rc == 0 && stored != published)
			difference_add(&bulk, job->suspects[i], stored, published);
	}
	uint64_t count = number_table_count(region);
	if (job->rc == 0 && count != (uint64_t)provisioner->store->number_count)
		bulk_refuse(&bulk, 0, "count", "the store has %lld numbers, the table %llu",
			    (long long)provisioner->store->number_count, (unsigned long long)count);
	job->faults = bulk.faults;
	job->fault_count = bulk.fault_count;
	job->fault_kept = bulk.fault_kept;
	if (job->rc == 0 && job->fault_count)
		job->rc = fault_set(&job->fault, FAULT_CONFLICT, "table", "differs from the store");
}

const struct job_kind job_verify = {.operation = "verify", .run = verify_run, .finish = verify_finish};
