/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The jobs themselves: import, export, and the worker's own: snapshot. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "job.h"

enum { CACHE_KB = 256 << 10, PATH_END_MAX = 16 };

static void result_add(struct job *job, const char *key, uint64_t value)
{
	json_object_object_add(job->result, key, json_object_new_int64((int64_t)value));
}

/* --- import --- */

static int file_ready(struct job *job)
{
	struct stat status;

	posix_fadvise(job->file, 0, 0, POSIX_FADV_SEQUENTIAL);
	return fstat(job->file, &status) != 0 ? -errno : (job_phase_set(job, JOB_READ, (uint64_t)status.st_size), 0);
}

static int rows_refused(struct job *job, const struct bulk *bulk)
{
	if (!bulk->fault_count || (bulk->skip_bad && !bulk->unreadable))
		return 0;
	return fault_set(&job->fault, FAULT_BAD_VALUE, "file", "%zu fault%s in it: nothing was changed",
			 bulk->fault_count, bulk->fault_count == 1 ? "" : "s");
}

static int rows_read(struct job *job, struct bulk *bulk, struct store *store)
{
	int rc = file_ready(job);

	if (rc == 0)
		rc = bulk_read(bulk, job->file);
	if (rc == 0) {
		job_phase_set(job, JOB_CHECK, bulk->count);
		rc = bulk_check(bulk, store);
	}
	if (rc == 0)
		rc = rows_refused(job, bulk);
	return rc ? rc : bulk_compare(bulk, store);
}

/* A log that grew until the disk was full would keep it full, and with it the store from any change. */
static void rows_take_back(struct store *store)
{
	store_rollback(store);
	store_checkpoint_whole(store);
}

static int rows_commit(struct job *job, struct bulk *bulk, struct store *store)
{
	if (!store_changed(store))
		return store_commit(store, NULL);
	struct store_change change = {
		.user = job->user, .via = job->via, .operation = "import", .arguments = job->arguments};
	int rc = bulk_log_write(bulk, store, store->revision + 1);
	if (rc) {
		rows_take_back(store);
		return rc;
	}
	rc = store_commit(store, &change);
	if (rc)
		rows_take_back(store);
	job->changed = rc == 0;
	return rc;
}

/*
 * Until the table is swapped nothing else changes the store, the table, or the other half of the region. Accounts are
 * checked here, so the store need not look for each row's; what goes into the log is written back later.
 */
static int rows_write(struct job *job, struct bulk *bulk, struct store *store)
{
	char pragmas[128];

	snprintf(pragmas, sizeof(pragmas), "PRAGMA cache_size = -%d; PRAGMA foreign_keys = OFF", CACHE_KB);
	store->checkpoint_later = true;
	job->sets_new = bulk_sets_new(bulk);
	job_phase_set(job, JOB_WRITE, bulk->count);
	store_checkpoint_whole(store); /* nothing of it may have to go into the file when the disk is full */
	int rc = sqlite3_exec(store->db, pragmas, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_failed(store);
	if (rc == 0)
		rc = store_begin(store);
	if (rc)
		return rc;
	if (store->replica)
		rc = fault_set(&job->fault, FAULT_CONFLICT, "role", "this store is a replica: change the primary");
	if (rc == 0)
		rc = bulk_apply(bulk, store);
	if (rc == 0)
		rc = rows_refused(job, bulk);
	if (rc == 0)
		rc = job_commit(job);
	if (rc) {
		rows_take_back(store);
		return rc;
	}
	atomic_store(&job->phase, JOB_COMMIT);
	return rows_commit(job, bulk, store);
}

static void counts_add(struct job *job, const struct bulk *bulk)
{
	result_add(job, "numbers", bulk->count);
	result_add(job, "numbersAdded", bulk->added);
	result_add(job, "numbersChanged", bulk->changed);
	result_add(job, "ranges", bulk->ranges.count);
	result_add(job, "rangesAdded", bulk->ranges_added);
	result_add(job, "rangesChanged", bulk->ranges_changed);
	if (bulk->skip_bad)
		result_add(job, "rowsSkipped", bulk->skipped);
	json_object_object_add(job->result, "dryRun", json_object_new_boolean(job->dry_run));
}

/* A copy of the table in use and the rows; from the store only if there is no good table to copy. */
static int table_build(const struct bulk *bulk, struct store *store, struct publisher *publisher,
		       struct number_table **table)
{
	int rc = publisher->stale || !publisher->table
			 ? -ESTALE
			 : number_table_copy(publisher->table, (uint64_t)store->number_count, table);

	if (rc == 0)
		rc = bulk_publish(bulk, store, *table);
	if (rc == 0)
		return 0;
	number_table_free(*table);
	*table = NULL;
	return publisher_build(publisher->region, store, table);
}

static void rows_publish(struct job *job, const struct bulk *bulk, struct store *store)
{
	struct publisher *publisher = job->provisioner->publisher;

	result_add(job, "revision", store->revision);
	job_phase_set(job, JOB_PUBLISH, bulk->count);
	if (publisher)
		job->publish_rc = table_build(bulk, store, publisher, &job->table);
}

static int import_rows(struct job *job, struct bulk *bulk, struct store *store)
{
	int rc = bulk_init(bulk, &job->progress, store);

	bulk->skip_bad = job->skip_bad;
	if (rc == 0)
		rc = rows_read(job, bulk, store);
	if (rc == 0 && !job->dry_run)
		rc = rows_write(job, bulk, store);
	if (rc == 0)
		counts_add(job, bulk);
	if (job->changed)
		rows_publish(job, bulk, store);
	job->faults = bulk->faults;
	job->fault_count = bulk->fault_count;
	job->fault_kept = bulk->fault_kept;
	bulk->faults = NULL;
	return rc;
}

static int import_run(struct job *job, struct store *store)
{
	struct bulk bulk = {0};

	job->result = json_object_new_object();
	int rc = import_rows(job, &bulk, store);
	bulk_finish(&bulk);
	if (rc || !job->changed)
		return rc;
	job_hand_over(job);
	job_phase_set(job, JOB_CHECKPOINT, 0);
	if (!bulk_cancelled(&job->progress)) /* the worker ends */
		store_checkpoint(store);
	return 0;
}

/* Changes go on from here. They leave the write-ahead log to the job. */
static void import_take(struct job *job)
{
	struct provisioner *provisioner = job->provisioner;

	if (!job->changed)
		return;
	provisioner->store->checkpoint_later = true;
	store_refresh(provisioner->store);
	provisioner->snapshot_revision = 0; /* an import cannot be put on top of it */
	if (!provisioner->publisher)
		return;
	publisher_swap(provisioner->publisher, provisioner->store, job->table, job->publish_rc);
	job->table = NULL;
	if (job->publish_rc)
		fault_set(&job->fault, FAULT_UNAVAILABLE, "region", "stored, but calls do not see it yet: %s",
			  job->publish_rc == -ENOSPC ? "the shared region is full" : strerror(-job->publish_rc));
}

static void import_finish(struct job *job)
{
	job->provisioner->store->checkpoint_later = false;
}

const struct job_kind job_import = {
	.operation = "import", .run = import_run, .take = import_take, .finish = import_finish};

/* --- export --- */

static int file_fault(struct job *job, const char *path, int error)
{
	return fault_set(&job->fault, FAULT_BAD_VALUE, "file", "%s: %s", path, strerror(error));
}

static int folder_sync(const char *path)
{
	char folder[PATH_MAX];

	snprintf(folder, sizeof(folder), "%s", path);
	int fd = open(dirname(folder), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd >= 0 && fsync(fd) == 0 ? 0 : -errno;
	if (fd >= 0)
		close(fd);
	return rc;
}

static int rows_export(struct job *job, struct store *store, int file)
{
	uint64_t rows = 0;

	job_phase_set(job, JOB_READ, (uint64_t)store->number_count);
	int rc = bulk_export(store, &job->progress, job->account, file, &rows);
	if (rc == 0 && fsync(file) != 0 && errno != EINVAL && errno != EROFS) /* a pipe knows no fsync */
		rc = file_fault(job, "the file", errno);
	result_add(job, "rows", rows);
	return rc;
}

/* What an operator would lose by a slip is refused: whatever is there and is no export, the store first of all. */
static int place_check(struct job *job, const struct store *store)
{
	static const char begin[] = "telephoneNumber";
	char found[sizeof(begin) - 1];
	struct stat status;

	if (lstat(job->path, &status) != 0)
		return errno == ENOENT ? 0 : file_fault(job, job->path, errno);
	if (store_file_is(store->path, &status))
		return fault_set(&job->fault, FAULT_BAD_VALUE, "file", "is a file of the store itself");
	int file = S_ISREG(status.st_mode) ? open(job->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
	bool replaceable =
		file >= 0 && (status.st_size == 0 || (pread(file, found, sizeof(found), 0) == (ssize_t)sizeof(found) &&
						      memcmp(found, begin, sizeof(found)) == 0));
	if (file >= 0)
		store_foreign_close(store, file);
	return replaceable ? 0 : fault_set(&job->fault, FAULT_BAD_VALUE, "file", "is there already, and is no export");
}

/* Beside the file first, so that whoever reads it finds a whole one, the earlier or the new. */
static int export_beside(struct job *job, struct store *store)
{
	char name[PATH_MAX + PATH_END_MAX];
	int rc = place_check(job, store);

	if (rc)
		return rc;
	snprintf(name, sizeof(name), "%s.XXXXXX", job->path);
	int file = mkostemp(name, O_CLOEXEC);
	if (file < 0)
		return file_fault(job, job->path, errno);
	rc = rows_export(job, store, file);
	close(file);
	if (rc == 0)
		rc = place_check(job, store);
	if (rc == 0)
		rc = job_commit(job);
	if (rc == 0 && rename(name, job->path) != 0)
		rc = file_fault(job, job->path, errno);
	if (rc)
		unlink(name);
	else
		folder_sync(job->path);
	return rc;
}

static int export_run(struct job *job, struct store *store)
{
	job->result = json_object_new_object();
	return job->path ? export_beside(job, store) : rows_export(job, store, job->file);
}

const struct job_kind job_export = {.operation = "export", .run = export_run};

/* --- snapshot --- */

static int snapshot_run(struct job *job, struct store *store)
{
	char reason[SNAPSHOT_REASON_SIZE] = "";
	int rc = snapshot_write(&job->snapshot, store, job->provisioner->publisher->region, &job->progress, reason);

	if (rc)
		fault_set(&job->fault, FAULT_UNAVAILABLE, "snapshot", "%s", reason);
	return rc;
}

/* Tried again when the next one is due. */
static void snapshot_finish(struct job *job)
{
	struct provisioner *provisioner = job->provisioner;

	provisioner->snapshot_ms = request_clock_ms();
	if (job->rc == 0)
		provisioner->snapshot_revision = job->snapshot.revision;
	else if (job->rc != -ECANCELED && job->rc != -ESTALE && provisioner->log)
		provisioner->log("the snapshot cannot be written", job->fault.reason);
}

const struct job_kind job_snapshot = {
	.operation = "snapshot", .run = snapshot_run, .finish = snapshot_finish, .own = true};
