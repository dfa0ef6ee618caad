/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Jobs: the thread, the list, what is told of them. */
#include "job.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BUSY_MS = 10000, RETRY_MIN_S = 1 };

/* As measured: what is written, for as long as a job has not shown its own pace, and what comes after that. */
enum { WRITE_NS_A_ROW = 1500, WRITE_NS_A_SET = 5500, FINISH_NS_A_ROW = 250, FINISH_NS_A_SET = 1000 };

static const char *const phase_names[JOB_PHASES] = {
	[JOB_START] = "start",   [JOB_READ] = "read",       [JOB_CHECK] = "check",          [JOB_WRITE] = "write",
	[JOB_COMMIT] = "commit", [JOB_PUBLISH] = "publish", [JOB_CHECKPOINT] = "checkpoint"};

/* --- the thread --- */

void job_phase_set(struct job *job, enum job_phase phase, uint64_t total)
{
	atomic_store(&job->progress.done, 0);
	atomic_store(&job->progress.total, total);
	atomic_store(&job->phase_ms, request_clock_ms());
	atomic_store(&job->phase, phase);
}

int job_commit(struct job *job)
{
	int open = JOB_OPEN;

	return atomic_compare_exchange_strong(&job->fate, &open, JOB_COMMITTED) ? 0 : -ECANCELED;
}

int job_cancel_try(struct job *job)
{
	int fate = JOB_OPEN;

	if (!atomic_compare_exchange_strong(&job->fate, &fate, JOB_CANCELLED) && fate == JOB_COMMITTED)
		return -EALREADY;
	atomic_store(&job->progress.cancel, true);
	return 0;
}

/* Both need no right. */
void job_priority_lower(void)
{
	struct sched_param parameter = {0};

	sched_setscheduler(0, SCHED_IDLE, &parameter);
	syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
}

static void job_fault_set(struct job *job, int rc, const char *reason)
{
	job->rc = rc;
	if (rc && !job->fault.code)
		fault_set(&job->fault, FAULT_UNAVAILABLE, "store", "%s", *reason ? reason : strerror(-rc));
}

static void event_send(const struct job *job)
{
	uint64_t one = 1;

	if (write(job->provisioner->jobs->event, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

void job_hand_over(struct job *job)
{
	atomic_store(&job->handed, true);
	event_send(job);
	pthread_mutex_lock(&job->lock);
	while (!job->taken && !job->closing)
		pthread_cond_wait(&job->turn, &job->lock);
	pthread_mutex_unlock(&job->lock);
}

static void *job_main(void *argument)
{
	struct job *job = argument;
	struct store *store = NULL;
	char error[STORE_ERROR_SIZE] = "";

	prctl(PR_SET_NAME, "trunkgate-job");
	if (job->provisioner->worker)
		job_priority_lower();
	int rc = store_open_again(job->provisioner->store, &store, error);
	if (rc == 0) {
		sqlite3_busy_timeout(store->db, BUSY_MS);
		rc = job->kind->run(job, store);
	}
	job_fault_set(job, rc, store ? store->error : error);
	store_free(store);
	if (job->file >= 0)
		close(job->file);
	job->file = -1;
	atomic_store(&job->ended, true);
	event_send(job);
	return NULL;
}

/* --- the list --- */

static void job_free(struct job *job)
{
	pthread_mutex_destroy(&job->lock);
	pthread_cond_destroy(&job->turn);
	json_object_put(job->result);
	if (job->file >= 0)
		close(job->file);
	free(job->faults);
	free(job->suspects);
	free(job->path);
	free(job->account);
	free(job->user);
	free(job->via);
	free(job->arguments);
	free(job);
}

int jobs_new(struct jobs **jobs)
{
	struct jobs *new = calloc(1, sizeof(*new));

	if (!new)
		return -ENOMEM;
	new->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (new->event < 0) {
		free(new);
		return -errno;
	}
	/*
	 * A job of an earlier worker is not taken for one of this one, unless that one had more than one a second for
	 * all its life. It fits 32 bits: kamcmd has no more.
	 */
	new->last_id = time(NULL);
	*jobs = new;
	return 0;
}

static void job_take(struct job *job)
{
	if (job->taken)
		return;
	if (job->kind->take)
		job->kind->take(job);
	pthread_mutex_lock(&job->lock);
	job->taken = true;
	pthread_cond_signal(&job->turn);
	pthread_mutex_unlock(&job->lock);
}

static void job_finish(struct job *job)
{
	pthread_mutex_lock(&job->lock);
	job->closing = true;
	pthread_cond_signal(&job->turn);
	pthread_mutex_unlock(&job->lock);
	if (!job->waits)
		pthread_join(job->thread, NULL);
	job_take(job);
	job->ended_ms = request_clock_ms();
	if (job->kind->finish)
		job->kind->finish(job);
	job->finished = true;
}

static void job_drop(struct jobs *jobs, size_t index)
{
	job_free(jobs->list[index]);
	jobs->count--;
	memmove(jobs->list + index, jobs->list + index + 1, (jobs->count - index) * sizeof(*jobs->list));
}

/* Of a job that could not be started its own end tells. */
static void job_begin(struct job *job)
{
	int rc = -pthread_create(&job->thread, NULL, job_main, job);

	job->waits = rc != 0;
	if (rc == 0)
		return;
	job_fault_set(job, rc, "");
	job_finish(job);
}

/* Once no other runs. */
static void waiting_begin(const struct jobs *jobs)
{
	struct job *job = jobs_running(jobs);

	for (size_t i = 0; job && i < jobs->count; i++)
		if (!jobs->list[i]->finished && !jobs->list[i]->waits)
			return;
	if (job)
		job_begin(job);
}

void jobs_poll(struct jobs *jobs)
{
	uint64_t count;

	if (!jobs)
		return;
	if (read(jobs->event, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	for (size_t i = jobs->count; i-- > 0;) {
		struct job *job = jobs->list[i];
		if (!job->finished && atomic_load(&job->handed))
			job_take(job);
		if (job->finished || !atomic_load(&job->ended))
			continue;
		job_finish(job);
		if (job->kind->own)
			job_drop(jobs, i);
	}
	waiting_begin(jobs);
}

void jobs_free(struct jobs *jobs)
{
	if (!jobs)
		return;
	for (size_t i = 0; i < jobs->count; i++) {
		atomic_store(&jobs->list[i]->progress.cancel, true);
		if (!jobs->list[i]->finished)
			job_finish(jobs->list[i]);
		job_free(jobs->list[i]);
	}
	close(jobs->event);
	free(jobs);
}

struct job *jobs_running(const struct jobs *jobs)
{
	for (size_t i = jobs ? jobs->count : 0; i-- > 0;)
		if (!jobs->list[i]->finished)
			return jobs->list[i];
	return NULL;
}

static struct job *job_find(const struct jobs *jobs, int64_t id)
{
	for (size_t i = 0; jobs && i < jobs->count; i++)
		if (jobs->list[i]->id == id)
			return jobs->list[i];
	return NULL;
}

static void jobs_add(struct jobs *jobs, struct job *job)
{
	if (jobs->count == JOBS_KEPT)
		job_drop(jobs, 0);
	jobs->list[jobs->count++] = job;
}

/* --- what is told --- */

static double seconds_for(const struct job *job, double ns_a_row, double ns_a_set)
{
	return ((double)atomic_load(&job->progress.total) * ns_a_row + (double)job->sets_new * ns_a_set) / 1e9;
}

int job_retry_after(const struct job *job)
{
	uint64_t done = atomic_load(&job->progress.done), total = atomic_load(&job->progress.total);
	double spent = (double)(request_clock_ms() - atomic_load(&job->phase_ms)) / 1000;
	double left = done > total / 20 ? spent / (double)done * (double)(total > done ? total - done : 0)
					: seconds_for(job, WRITE_NS_A_ROW, WRITE_NS_A_SET);

	if (atomic_load(&job->phase) != JOB_WRITE)
		left = 0;
	return RETRY_MIN_S + (int)(left + seconds_for(job, FINISH_NS_A_ROW, FINISH_NS_A_SET));
}

int jobs_check_change(const struct jobs *jobs, struct fault *fault)
{
	const struct job *job = jobs_running(jobs);

	if (!job || atomic_load(&job->phase) < JOB_WRITE || job->taken)
		return 0;
	int seconds = job_retry_after(job);
	int rc = fault_set(fault, FAULT_UNAVAILABLE, "job", "%s %lld is writing: try again in %d s",
			   job->kind->operation, (long long)job->id, seconds);
	fault->retry_after = seconds;
	return rc;
}

static int job_percent(const struct job *job)
{
	uint64_t done = atomic_load(&job->progress.done), total = atomic_load(&job->progress.total);

	return total ? (int)(100.0 * (double)(done < total ? done : total) / (double)total) : 0;
}

static void integer_add(struct json_object *result, const char *key, int64_t value)
{
	json_object_object_add(result, key, json_object_new_int64(value));
}

static void text_add(struct json_object *result, const char *key, const char *text)
{
	json_object_object_add(result, key, json_object_new_string(text));
}

void jobs_status(const struct jobs *jobs, struct json_object *result)
{
	const struct job *job = jobs_running(jobs);

	if (!job)
		return;
	integer_add(result, "job", job->id);
	text_add(result, "jobOperation", job->kind->operation);
	text_add(result, "jobPhase", phase_names[atomic_load(&job->phase)]);
	integer_add(result, "jobPercent", job_percent(job));
}

static const char *job_state(const struct job *job)
{
	if (!job->finished)
		return "running";
	return job->rc == 0 ? "done" : job->rc == -ECANCELED ? "cancelled" : "failed";
}

static void faults_add(const struct job *job, struct json_object *result, size_t after, unsigned limit)
{
	struct json_object *items = json_object_new_array();
	size_t i = after;

	for (; i < job->fault_kept && i < after + limit; i++) {
		struct json_object *item = json_object_new_object();
		if (job->faults[i].line)
			integer_add(item, "line", (int64_t)job->faults[i].line);
		text_add(item, "column", job->faults[i].column);
		text_add(item, "reason", job->faults[i].reason);
		json_object_array_add(items, item);
	}
	json_object_object_add(result, "items", items);
	if (i < job->fault_kept)
		integer_add(result, "next", (int64_t)i);
}

static void outcome_add(const struct job *job, struct json_object *result, size_t after, unsigned limit)
{
	if (job->result) {
		json_object_object_foreach(job->result, key, value)
			json_object_object_add(result, key, json_object_get(value));
	}
	if (job->fault.code && job->rc != -ECANCELED) {
		integer_add(result, "code", job->fault.code);
		text_add(result, "field", job->fault.field);
		text_add(result, "reason", job->fault.reason);
	}
	if (job->fault_count) {
		integer_add(result, "faultCount", (int64_t)job->fault_count);
		faults_add(job, result, after, limit);
	}
}

static void job_show(const struct job *job, struct json_object *result, size_t after, unsigned limit)
{
	int64_t until = job->finished ? job->ended_ms : request_clock_ms();

	integer_add(result, "job", job->id);
	text_add(result, "operation", job->kind->operation);
	text_add(result, "state", job_state(job));
	integer_add(result, "milliseconds", until - job->started_ms);
	if (job->finished) {
		outcome_add(job, result, after, limit);
		return;
	}
	text_add(result, "phase", phase_names[atomic_load(&job->phase)]);
	integer_add(result, "done", (int64_t)atomic_load(&job->progress.done));
	integer_add(result, "total", (int64_t)atomic_load(&job->progress.total));
	integer_add(result, "percent", job_percent(job));
}

/* --- operations --- */

static char *arguments_text(const struct call *call)
{
	struct json_object *arguments = json_object_new_array();

	for (size_t i = 0; i < call->argument_count; i++)
		json_object_array_add(arguments, json_object_new_string(call->arguments[i]));
	char *text = strdup(
		json_object_to_json_string_ext(arguments, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(arguments);
	return text;
}

static int job_new(struct call *call, const struct job_kind *kind, struct job **job)
{
	struct provisioner *provisioner = call->provisioner;
	struct job *new = calloc(1, sizeof(*new));

	if (!new)
		return -ENOMEM;
	pthread_mutex_init(&new->lock, NULL);
	pthread_cond_init(&new->turn, NULL);
	new->kind = kind;
	new->provisioner = provisioner;
	new->started_ms = request_clock_ms();
	new->file = call->file;
	call->file = -1;
	new->user = strdup(call->user);
	new->via = strdup(call->via);
	new->arguments = arguments_text(call);
	if (!new->user || !new->via || !new->arguments) {
		job_free(new);
		return -ENOMEM;
	}
	*job = new;
	return 0;
}

static int job_start(struct call *call, struct job *job)
{
	struct jobs *jobs = call->provisioner->jobs;

	job->id = ++jobs->last_id;
	job->waits = jobs_running(jobs) != NULL;
	int rc = job->waits ? 0 : -pthread_create(&job->thread, NULL, job_main, job);
	if (rc) {
		job_free(job);
		return rc;
	}
	jobs_add(jobs, job);
	integer_add(call->result, "job", job->id);
	return 0;
}

/* One at a time: two would only fight for the disk. */
static int jobs_ready(struct call *call)
{
	struct provisioner *provisioner = call->provisioner;
	int rc = provisioner->jobs ? 0 : jobs_new(&provisioner->jobs);

	if (rc)
		return rc;
	struct job *job = jobs_running(provisioner->jobs);
	if (job && job->kind->own) {
		job_cancel_try(job); /* the next one starts when it has ended: the disk may hold it for seconds */
		return 0;
	}
	return job ? fault_set(&call->fault, FAULT_CONFLICT, "job", "%s %lld is running: one job at a time",
			       job->kind->operation, (long long)job->id)
		   : 0;
}

static int import(struct call *call)
{
	struct job *job;
	int rc = jobs_ready(call);

	if (rc == 0 && call->store->replica)
		rc = fault_set(&call->fault, FAULT_CONFLICT, "role", "this store is a replica: change the primary");
	if (rc == 0 && call->file < 0)
		rc = request_open(call, &call->file);
	if (rc == 0)
		rc = job_new(call, &job_import, &job);
	if (rc)
		return rc;
	for (size_t i = 1; i < call->argument_count; i++) {
		job->dry_run = job->dry_run || strcmp(call->arguments[i], "dry-run") == 0;
		job->skip_bad = job->skip_bad || strcmp(call->arguments[i], "skip-bad") == 0;
	}
	return job_start(call, job);
}

static int export(struct call *call)
{
	const char *account = call->arguments[1] ? call->arguments[1] : "";
	struct job *job;
	int64_t unused;
	int rc = jobs_ready(call);

	if (rc == 0 && strcmp(account, "-") == 0)
		account = "";
	if (rc == 0 && *account)
		rc = request_account(call, account, &unused);
	if (rc == 0 && call->file < 0 && call->arguments[0][0] != '/')
		rc = fault_set(&call->fault, FAULT_BAD_VALUE, "file",
			       "must start with '/': the worker has a folder of its own");
	if (rc == 0)
		rc = job_new(call, &job_export, &job);
	if (rc)
		return rc;
	job->account = strdup(account);
	job->path = job->file < 0 ? strdup(call->arguments[0]) : NULL;
	if (!job->account || (job->file < 0 && !job->path)) {
		job_free(job);
		return -ENOMEM;
	}
	return job_start(call, job);
}

static int verify(struct call *call)
{
	struct job *job;
	int rc = jobs_ready(call);

	if (rc == 0 && !call->provisioner->publisher)
		rc = fault_set(&call->fault, FAULT_CONFLICT, "region", "no number table is published by this process");
	if (rc == 0)
		rc = job_new(call, &job_verify, &job);
	return rc ? rc : job_start(call, job);
}

static int job_named(struct call *call, struct job **job)
{
	int64_t id = strtoll(call->arguments[0], NULL, 10);

	*job = job_find(call->provisioner->jobs, id);
	return *job ? 0
		    : fault_set(&call->fault, FAULT_NOT_FOUND, "job",
				"there is no job %lld: of those that ended, the"
				" last %d of this worker are kept",
				(long long)id, JOBS_KEPT);
}

static int job_get(struct call *call)
{
	size_t after = call->arguments[2] ? strtoul(call->arguments[2], NULL, 10) : 0;
	struct job *job;
	int rc = job_named(call, &job);

	if (rc == 0)
		job_show(job, call->result, after, operation_limit(call->arguments[1]));
	return rc;
}

static int job_cancel(struct call *call)
{
	struct job *job;
	int rc = job_named(call, &job);

	if (rc)
		return rc;
	if (job->finished)
		return fault_set(&call->fault, FAULT_CONFLICT, "job", "it has ended: %s", job_state(job));
	if (job_cancel_try(job) != 0)
		return fault_set(&call->fault, FAULT_CONFLICT, "job", "it is committed already");
	integer_add(call->result, "job", job->id);
	return 0;
}

int jobs_snapshot(struct provisioner *provisioner)
{
	struct call call = {.provisioner = provisioner, .user = "", .via = "", .file = -1};
	struct store *store = provisioner->store;
	struct job *job;

	if (!provisioner->publisher || provisioner->publisher->stale || jobs_running(provisioner->jobs))
		return -EBUSY;
	int rc = job_new(&call, &job_snapshot, &job);
	if (rc)
		return rc;
	job->snapshot = (struct snapshot){.revision = store->revision, .digest = {store->digest[0], store->digest[1]}};
	memcpy(job->snapshot.id, store->id, sizeof(store->id));
	call.result = json_object_new_object();
	rc = job_start(&call, job);
	json_object_put(call.result);
	return rc;
}

const struct call_handler job_handlers[] = {
	{.name = "import", .run = import}, {.name = "export", .run = export},         {.name = "verify", .run = verify},
	{.name = "job", .run = job_get},   {.name = "job_cancel", .run = job_cancel}, {0}};
