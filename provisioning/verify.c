/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The job that compares the published table with the store, and the store's digest with its rows.
 *
 * Changes go on meanwhile, so what differs is a suspect at first: it is looked at again by the thread until few are
 * left, and these by the loop, where store and table agree.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "digest.h"
#include "job.h"

enum { TOLD_MAX = 1000, KEPT_MAX = 1 << 20, ROUNDS = 3, STEP = 1024, CANCEL_STEPS = 100000 };

struct verifier {
	struct job *job;
	struct store *store;
	const struct region *region;
	uint64_t *suspects;
	size_t count, room;
	bool uncounted;  /* the store's count is not that of its rows */
	uint64_t beyond; /* suspects for which there was no room */
	uint64_t seen, rows, found;
};

static int suspect_add(struct verifier *verifier, uint64_t e164)
{
	if (verifier->count == KEPT_MAX) {
		verifier->beyond++;
		return 0;
	}
	if (verifier->count == verifier->room) {
		size_t room = verifier->room ? verifier->room * 2 : 64;
		uint64_t *suspects = realloc(verifier->suspects, room * sizeof(*suspects));
		if (!suspects)
			return -ENOMEM;
		verifier->suspects = suspects;
		verifier->room = room;
	}
	verifier->suspects[verifier->count++] = e164;
	return 0;
}

static int step(struct verifier *verifier)
{
	if (++verifier->seen % STEP)
		return 0;
	bulk_advance(&verifier->job->progress, verifier->seen);
	return bulk_cancelled(&verifier->job->progress) ? -ECANCELED : 0;
}

/* --- one number --- */

/* A set that the store refers to and does not hold has no account. */
static void set_read(sqlite3_stmt *statement, struct attribute_set *set)
{
	uint32_t id = (uint32_t)sqlite3_column_int64(statement, 0);
	uint16_t service = (uint16_t)sqlite3_column_int(statement, 1);

	if (attribute_set_make(set, id, service, span_of(store_text(statement, 2)), span_of(store_text(statement, 3))))
		*set = (struct attribute_set){.id = id, .service = service};
}

static bool set_equal(const struct attribute_set *set, const struct attribute_set *other)
{
	return set->id == other->id && set->service == other->service && strcmp(set->account, other->account) == 0 &&
	       strcmp(attribute_set_header(set), attribute_set_header(other)) == 0;
}

/* What the store says: the number's own set, or that of the narrowest range; id 0 if neither. */
static int expected_set(struct store *store, uint64_t e164, struct attribute_set *set)
{
	static const char *const sql[] = {
		"SELECT n.attribute_set, s.service, s.account, s.header FROM number n"
		" LEFT JOIN attribute_set s ON s.id = n.attribute_set WHERE n.e164 = ?1",
		"SELECT r.attribute_set, s.service, s.account, s.header FROM number_range r"
		" LEFT JOIN attribute_set s ON s.id = r.attribute_set WHERE r.first <= ?1 AND r.last >= ?1"
		" ORDER BY r.first DESC, r.last LIMIT 1"};
	int rc = 0;

	*set = (struct attribute_set){0};
	for (size_t i = 0; i < sizeof(sql) / sizeof(*sql) && rc == 0 && !set->id; i++) {
		sqlite3_stmt *statement;
		rc = store_select(store, &statement, sql[i], "i", (int64_t)e164);
		if (rc == 0)
			rc = store_step(store, &statement);
		if (rc < 1)
			continue;
		set_read(statement, set);
		sqlite3_finalize(statement);
		rc = 0;
	}
	return rc;
}

static struct attribute_set published_set(const struct region *region, uint64_t e164)
{
	struct attribute_set set = {0};

	if (number_table_find(region, e164, &set) != 0)
		return (struct attribute_set){0};
	return set;
}

/* --- all of them --- */

static int number_compare(struct verifier *verifier, sqlite3_stmt *statement)
{
	uint64_t e164 = (uint64_t)sqlite3_column_int64(statement, 4);
	struct attribute_set stored, published = published_set(verifier->region, e164);
	int rc = 0;

	set_read(statement, &stored);
	verifier->rows++;
	verifier->found++;
	if (!set_equal(&stored, &published)) {
		verifier->found--;
		rc = suspect_add(verifier, e164);
	}
	return rc ? rc : step(verifier);
}

static int numbers_compare(struct verifier *verifier)
{
	sqlite3_stmt *statement;
	int rc = store_select(verifier->store, &statement,
			      "SELECT n.attribute_set, s.service, s.account, s.header, n.e164 FROM number n"
			      " LEFT JOIN attribute_set s ON s.id = n.attribute_set ORDER BY n.e164",
			      "");

	while (rc == 0 && (rc = store_step(verifier->store, &statement)) > 0) {
		rc = number_compare(verifier, statement);
		if (rc)
			sqlite3_finalize(statement);
	}
	return rc;
}

/* What is in the table and not in the store. */
static int table_compare(struct verifier *verifier)
{
	sqlite3_stmt *statement;
	uint64_t cursor = 0, e164;
	uint32_t set;
	int rc = store_select(verifier->store, &statement, "SELECT 1 FROM number WHERE e164 = ?", "");

	while (rc == 0 && number_table_next(verifier->region, &cursor, &e164, &set) > 0) {
		sqlite3_bind_int64(statement, 1, (int64_t)e164);
		int code = sqlite3_step(statement);
		sqlite3_reset(statement);
		rc = code == SQLITE_ROW    ? 0
		     : code == SQLITE_DONE ? suspect_add(verifier, e164)
					   : store_failed(verifier->store);
		if (rc == 0)
			rc = step(verifier);
	}
	sqlite3_finalize(statement);
	return rc;
}

static int range_end_compare(struct verifier *verifier, const struct range *range, uint64_t end)
{
	return published_set(verifier->region, end).id == range->set ? 0 : suspect_add(verifier, end);
}

static int ranges_compare(struct verifier *verifier)
{
	struct ranges ranges = {0};
	int rc = ranges_load(verifier->store, 0, INT64_MAX, &ranges);

	for (size_t i = 0; i < ranges.count && rc == 0; i++) {
		const struct range *range = &ranges.list[i];
		const struct range *next = i + 1 < ranges.count ? range + 1 : NULL;
		/* where a narrower one begins as well, that one answers */
		if (!next || next->first != range->first)
			rc = range_end_compare(verifier, range, range->first);
		if (rc == 0 && (!next || next->first > range->last))
			rc = range_end_compare(verifier, range, range->last);
		if (rc == 0)
			rc = step(verifier);
	}
	ranges_finish(&ranges);
	return rc;
}

static int cancel_asked(void *context)
{
	const struct job *job = context;

	return bulk_cancelled(&job->progress);
}

static int digest_compare(struct verifier *verifier)
{
	struct job *job = verifier->job;
	struct store *store = verifier->store;
	uint64_t digest[2];

	job_phase_set(job, JOB_CHECK, 0);
	sqlite3_progress_handler(store->db, CANCEL_STEPS, cancel_asked, job);
	int rc = store_digest_compute(store, digest);
	sqlite3_progress_handler(store->db, 0, NULL, NULL);
	job->digest_wrong = rc == 0 && (digest[0] != store->digest[0] || digest[1] != store->digest[1]);
	return rc && bulk_cancelled(&job->progress) ? -ECANCELED : rc;
}

static int all_compare(struct verifier *verifier)
{
	int rc = numbers_compare(verifier);

	if (rc == 0)
		rc = ranges_compare(verifier);
	verifier->uncounted = verifier->rows != (uint64_t)verifier->store->number_count;
	return rc ? rc : digest_compare(verifier);
}

/* --- suspects --- */

static int e164_compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

/* A number may have been met twice: in the store's order and the table's, or as the end of two ranges. */
static void suspects_unique(struct verifier *verifier)
{
	size_t kept = 0;

	if (verifier->count > 1)
		qsort(verifier->suspects, verifier->count, sizeof(*verifier->suspects), e164_compare);
	for (size_t i = 0; i < verifier->count; i++)
		if (i == 0 || verifier->suspects[i] != verifier->suspects[kept - 1])
			verifier->suspects[kept++] = verifier->suspects[i];
	verifier->count = kept;
}

/* Those that only changed meanwhile are none. */
static int suspects_again(struct verifier *verifier)
{
	size_t kept = 0;
	int rc = 0;

	suspects_unique(verifier);
	for (size_t i = 0; i < verifier->count && rc == 0; i++) {
		uint64_t e164 = verifier->suspects[i];
		struct attribute_set stored, published;
		rc = expected_set(verifier->store, e164, &stored);
		published = published_set(verifier->region, e164);
		if (!set_equal(&stored, &published))
			verifier->suspects[kept++] = e164;
		if (rc == 0)
			rc = step(verifier);
	}
	verifier->count = kept;
	return rc;
}

static int verify_run(struct job *job, struct store *store)
{
	struct verifier verifier = {.job = job, .store = store, .region = job->provisioner->publisher->region};
	int rc = store_run(store, "BEGIN", "");

	job->result = json_object_new_object();
	if (rc == 0)
		rc = store_refresh(store); /* as of this transaction */
	job_phase_set(job, JOB_READ, (uint64_t)store->number_count);
	if (rc == 0)
		rc = all_compare(&verifier);
	store_rollback(store);
	if (rc == 0)
		rc = suspects_again(&verifier);
	/* only then: for each number of the table the store has to be asked */
	if (rc == 0 && (verifier.count || verifier.uncounted ||
			number_table_count(verifier.region) != (uint64_t)store->number_count))
		rc = table_compare(&verifier);
	for (int i = 0; i < ROUNDS && rc == 0 && verifier.count > TOLD_MAX; i++)
		rc = suspects_again(&verifier);
	suspects_unique(&verifier);
	json_object_object_add(job->result, "numbers", json_object_new_int64((int64_t)verifier.found));
	job->suspects = verifier.suspects;
	job->suspect_count = verifier.count < TOLD_MAX ? verifier.count : TOLD_MAX;
	job->suspects_beyond = verifier.count - job->suspect_count + verifier.beyond;
	return rc;
}

/* --- the loop's part --- */

static void difference_add(struct bulk *bulk, uint64_t e164, const struct attribute_set *stored,
			   const struct attribute_set *published)
{
	char number[NUMBER_TEXT_SIZE], places[2][48] = {"nothing", "nothing"};

	number_format(e164, number);
	if (stored->id)
		snprintf(places[0], sizeof(places[0]), "attribute set %u%s", stored->id,
			 *stored->account ? "" : ", which is not there");
	if (published->id)
		snprintf(places[1], sizeof(places[1]), "attribute set %u%s", published->id,
			 published->id == stored->id ? " of other content" : "");
	bulk_refuse(bulk, 0, number, "the store has %s, the table %s", places[0], places[1]);
}

static void digest_difference_add(struct bulk *bulk, const struct store *store)
{
	char text[2 * STORE_DIGEST_SIZE + 1];

	store_digest_text(store->digest, text);
	bulk_refuse(bulk, 0, "digest", "the store's rows have another digest than the kept one, now %s", text);
}

static void verify_finish(struct job *job)
{
	struct provisioner *provisioner = job->provisioner;
	const struct region *region = provisioner->publisher->region;
	struct bulk bulk = {0};

	for (size_t i = 0; i < job->suspect_count && job->rc == 0; i++) {
		struct attribute_set stored, published = published_set(region, job->suspects[i]);
		job->rc = expected_set(provisioner->store, job->suspects[i], &stored);
		if (job->rc == 0 && !set_equal(&stored, &published))
			difference_add(&bulk, job->suspects[i], &stored, &published);
	}
	uint64_t count = number_table_count(region);
	if (job->rc == 0 && count != (uint64_t)provisioner->store->number_count)
		bulk_refuse(&bulk, 0, "count", "the store has %lld numbers, the table %llu",
			    (long long)provisioner->store->number_count, (unsigned long long)count);
	if (job->rc == 0 && job->digest_wrong)
		digest_difference_add(&bulk, provisioner->store);
	job->faults = bulk.faults;
	job->fault_count = bulk.fault_count + job->suspects_beyond;
	job->fault_kept = bulk.fault_kept;
	if (job->rc == 0 && job->fault_count)
		job->rc = fault_set(&job->fault, FAULT_CONFLICT, "table", "differs from the store");
}

const struct job_kind job_verify = {.operation = "verify", .run = verify_run, .finish = verify_finish};
