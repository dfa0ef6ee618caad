/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * What takes longer than a moment: import, export, verify. One at a time, in a thread of its own with a connection of
 * its own, at the lowest priority of processor and disk; the loop goes on answering.
 *
 * From the moment an import writes until its table is in force, changes are refused (503 with the time after which to
 * try again): SQLite has one writer, and a change that waited would be told 504 by its door long before. Reads are
 * answered all the time.
 */
#ifndef TRUNKGATE_JOB_H
#define TRUNKGATE_JOB_H

#include <pthread.h>

#include "bulk.h"
#include "request.h"
#include "snapshot.h"

enum job_phase { JOB_START, JOB_READ, JOB_CHECK, JOB_WRITE, JOB_COMMIT, JOB_PUBLISH, JOB_CHECKPOINT, JOB_PHASES };

/** Whether it may still be cancelled is decided once, by whoever comes first. */
enum job_fate { JOB_OPEN, JOB_CANCELLED, JOB_COMMITTED };

struct job;

struct job_kind {
	const char *operation;
	/** In the thread. Returns 0, -ECANCELED, or another -errno with job->fault or store->error. */
	int (*run)(struct job *job, struct store *store);
	/** In the loop, when the thread has called job_hand_over(), or has ended; may be NULL. */
	void (*take)(struct job *job);
	/** In the loop, when the thread has ended; may be NULL. */
	void (*finish)(struct job *job);
	bool own; /**< the worker's own: gives way to others, and is forgotten when it has ended */
};

struct job {
	int64_t id;
	const struct job_kind *kind;
	struct provisioner *provisioner;
	pthread_t thread;
	struct bulk_progress progress;
	atomic_int phase;
	atomic_int_fast64_t phase_ms; /**< when the phase began */
	atomic_int fate;              /**< enum job_fate */
	atomic_bool handed;           /**< the thread waits for the loop to take what it made */
	atomic_bool ended;            /**< the thread has nothing more to do */
	bool taken, closing;          /**< under the lock: the loop took it, or will when the thread has ended */
	pthread_mutex_t lock;
	pthread_cond_t turn;
	bool waits;    /**< there is no thread yet: one of the worker's own has to end */
	bool finished; /**< nor has the loop */
	int64_t started_ms, ended_ms;
	/* the request */
	int file;
	char *path, *account, *user, *via, *arguments;
	bool dry_run, skip_bad;
	uint64_t sets_new; /**< of an import: sets that it adds; set before its phase is JOB_WRITE */
	/* the outcome; the thread's until it has ended */
	int rc;
	struct fault fault;
	struct json_object *result;
	struct bulk_fault *faults;
	size_t fault_count, fault_kept;
	struct number_table *table;
	int publish_rc;
	bool changed;
	uint64_t *suspects; /**< of verify: numbers that may differ */
	size_t suspect_count;
	uint64_t suspects_beyond; /**< counted, but not named */
	bool digest_wrong;
	struct snapshot snapshot;
};

enum { JOBS_KEPT = 16 };

struct jobs {
	struct job *list[JOBS_KEPT]; /**< oldest first */
	size_t count;
	int64_t last_id;
	int event; /**< readable when a thread has ended */
};

int jobs_new(struct jobs **jobs);

/** Cancels what runs, waits for it, and forgets all. */
void jobs_free(struct jobs *jobs);

/** Finishes what has ended. */
void jobs_poll(struct jobs *jobs);

/** The one that runs, or waits until one of the worker's own has ended; or NULL. */
struct job *jobs_running(const struct jobs *jobs);

/** Seconds until changes can go on, from how fast an import went so far. */
int job_retry_after(const struct job *job);

/** Refuses a change while an import writes. Returns 0, or -EIO with @p fault. */
int jobs_check_change(const struct jobs *jobs, struct fault *fault);

/** Adds "job", "jobOperation", "jobPhase", "jobPercent" if one runs. */
void jobs_status(const struct jobs *jobs, struct json_object *result);

/** For a thread: calls and changes come first, whatever it has to do. */
void job_priority_lower(void);

/** For the thread: a new phase with @p total steps. */
void job_phase_set(struct job *job, enum job_phase phase, uint64_t total);

/** For the thread: from here on it is not cancelled any more. Returns 0, or -ECANCELED if it has been. */
int job_commit(struct job *job);

/** For the loop: returns 0, or -EALREADY if it is committed. */
int job_cancel_try(struct job *job);

/** For the thread: what it made is the loop's now; returns when the loop has taken it. */
void job_hand_over(struct job *job);

/** Starts a snapshot if none is being written and nothing else runs. Returns 0 or -errno. */
int jobs_snapshot(struct provisioner *provisioner);

extern const struct job_kind job_import, job_export, job_verify, job_snapshot;

#endif
