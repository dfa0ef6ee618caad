/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Tests of import, export and verify: faults by line and column, all or nothing, round trips, the change log. */
#include "provision.h"

#include <fcntl.h>
#include <poll.h>

#define HEAD                                                                                                           \
	"telephoneNumber,telephoneNumberLast,accountName,serviceDetails_teamsOperatorConnect_enabled,"                 \
	"serviceDetails_teamsPhoneMobile_enabled,configuration_customSipHeader\n"
#define NUMBERS                                                                                                        \
	HEAD "+15551230003,,acme,true,false,gold\n+15551230001,,acme,true,,\n+15551230002,,other,,TRUE,\n"             \
	     "+15551230000,+15551239999,acme,true,false,wide\n+15551231000,+15551231999,acme,true,false,narrow\n"

static void file_write(struct provision *provision, const char *text)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/in.csv", provision->folder);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* The result of a job when it has ended. */
static struct json_object *job_end(struct provision *provision, struct json_object *start)
{
	char id[24];
	struct json_object *answer = NULL, *result = provision_get(start, "result");
	if (!provision_get(result, "job"))
		fail_msg("%s", json_object_to_json_string(start));
	snprintf(id, sizeof(id), "%lld", (long long)json_object_get_int64(provision_get(result, "job")));
	json_object_put(start);
	for (int i = 0; i < 10000; i++, poll(NULL, 0, 1)) {
		answer = ASK(provision, "job", id);
		result = provision_get(answer, "result");
		if (strcmp(json_object_get_string(provision_get(result, "state")), "running") != 0)
			return answer;
		json_object_put(answer);
	}
	fail_msg("the job does not end");
	return NULL;
}

static struct json_object *run(struct provision *provision, const char *operation, const char *name, const char *more)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/%s", provision->folder, name);
	return job_end(provision, ASK(provision, operation, path, more));
}

static struct json_object *import(struct provision *provision, const char *text, const char *more)
{
	file_write(provision, text);
	return run(provision, "import", "in.csv", more);
}

static long long field(struct json_object *answer, const char *key)
{
	return json_object_get_int64(provision_get(provision_get(answer, "result"), key));
}

static void is_done(struct json_object *answer)
{
	if (strcmp(json_object_get_string(provision_get(provision_get(answer, "result"), "state")), "done") != 0)
		fail_msg("%s", json_object_to_json_string(answer));
	json_object_put(answer);
}

static void accounts(struct provision *provision)
{
	DONE(ASK(provision, "account_set", "acme"));
	DONE(ASK(provision, "account_set", "other"));
}

static int import_finish(void **state)
{
	static const char *const names[] = {"in.csv", "out.csv", "out2.csv"};
	struct provision *provision = *state;
	char path[128];
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", provision->folder, names[i]);
		unlink(path);
	}
	return provision_finish(state);
}

static char *file_text(struct provision *provision, const char *name)
{
	static char texts[2][65536];
	static int next;
	char path[128], *text = texts[next++ % 2];
	snprintf(path, sizeof(path), "%s/%s", provision->folder, name);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	text[fread(text, 1, 65535, file)] = '\0';
	fclose(file);
	return text;
}

static const struct {
	const char *text;
	unsigned line;
	const char *column, *reason;
} bad_files[] = {
	{"", 1, "header", "the file is empty"},
	{"\n\n", 1, "header", "the file is empty"},
	{"+15551230001,acme\n", 1, "+15551230001", "is not a column that this gateway knows"},
	{"telephoneNumber,accountName,colour\n", 1, "colour", "is not a column that this gateway knows"},
	{"telephoneNumber,accountName,accountName\n", 1, "accountName", "is there twice"},
	{"telephoneNumber,TelephoneNumber\n", 1, "TelephoneNumber", "is not a column"},
	{"telephoneNumber\n", 1, "accountName", "is missing"},
	{"telephoneNumber,accountName,serviceDetails_fax_enabled\n", 1, "serviceDetails_fax_enabled",
	 "is not a column"},
	{"\xff\xfet\0e\0", 1, "\?\?t", "is not a column"},
	{HEAD "15551230001,,acme,true,false,\n", 2, "telephoneNumber", "has no '+': a spreadsheet takes it away"},
	{HEAD "4.4E+11,,acme,true,false,\n", 2, "telephoneNumber", "'4.4E+11' a spreadsheet made a rounded number"},
	{HEAD "\n\r\n,,,,,\n+1 555,,acme,true,false,\n", 5, "telephoneNumber", "only digits"},
	{HEAD ",,acme,true,false,\n", 2, "telephoneNumber", "'' is empty"},
	{HEAD "+15551230001,,nobody,true,false,\n", 2, "accountName", "there is no account 'nobody'"},
	{HEAD "+15551230001,,ACME,true,false,\n", 2, "accountName", "there is no account 'ACME'"},
	{HEAD "+15551230001,,,true,false,\n", 2, "accountName", "is empty"},
	{HEAD "+15551230001,,acme,yes,false,\n", 2, "serviceDetails_teamsOperatorConnect_enabled", "true or false"},
	{HEAD "+15551230001,,acme,false,,\n", 2, "serviceDetails", "no service is enabled"},
	{HEAD "+15551230001,,acme,true,true,\n", 2, "serviceDetails_teamsPhoneMobile_enabled",
	 "teamsOperatorConnect is enabled too"},
	{HEAD "+15551230001,,acme,true,false,go ld\n", 2, "configuration_customSipHeader", "may hold only"},
	{HEAD "+15551230001,,acme,false,true,gold\n", 2, "configuration_customSipHeader", "carries no custom header"},
	{HEAD "+15551230001,,acme,true,false,a,b\n", 2, "row", "has 7 cells, but there are 6 columns"},
	{HEAD "+15551230001,,acme,true,false,\"a\n", 2, "row", "has a quote that is not closed"},
	{HEAD "+15551230001,,acme,true,,\n+15551230001,,acme,true,,\n", 3, "telephoneNumber",
	 "the same number stands in line 2 already"},
	{HEAD "+15551230001,+1555123,acme,true,,\n", 2, "telephoneNumberLast", "must have as many digits"},
	{HEAD "+4420,+4429,acme,true,,\n+4425,+4435,acme,true,,\n", 3, "telephoneNumber",
	 "overlaps in part with +4420-+4429 in line 2"},
	{HEAD "+4420,+4429,acme,true,,\n+4421,+4422,other,true,,\n", 3, "telephoneNumber", "of another account"},
	{HEAD "+4420,+4429,acme,true,,\n+4420,+4429,acme,true,,x\n", 3, "telephoneNumber", "is the same as"},
	{HEAD "+4495,+4498,acme,true,,\n", 2, "telephoneNumber", "overlaps in part with +4490-+4496 in the store"},
	{"telephoneNumber,accountName,serviceDetails_teamsOperatorConnect_enabled,"
	 "serviceDetails_teamsOperatorConnect_assignmentStatus\n+15551230001,acme,true,assigned\n",
	 2, "serviceDetails_teamsOperatorConnect_assignmentStatus", "is not kept by this gateway"},
	{"telephoneNumber,accountName,serviceDetails_azureOperatorCallProtection_enabled\n+15551230001,acme,true\n", 2,
	 "serviceDetails_azureOperatorCallProtection_enabled", "is not a service that this gateway can carry"},
};

static void test_each_fault_has_line_column_and_reason(void **state)
{
	struct provision *provision = *state;
	accounts(provision);
	DONE(ASK(provision, "range_set", "+4490", "+4496", "acme", "teamsOperatorConnect"));
	for (size_t i = 0; i < sizeof(bad_files) / sizeof(*bad_files); i++) {
		struct json_object *answer = import(provision, bad_files[i].text, NULL);
		struct json_object *items = provision_get(provision_get(answer, "result"), "items");
		struct json_object *fault = items ? json_object_array_get_idx(items, 0) : NULL;
		if (field(answer, "faultCount") < 1 ||
		    json_object_get_int(provision_get(fault, "line")) != (int)bad_files[i].line ||
		    strcmp(json_object_get_string(provision_get(fault, "column")), bad_files[i].column) != 0 ||
		    !strstr(json_object_get_string(provision_get(fault, "reason")), bad_files[i].reason))
			fail_msg("file %zu: %s", i, json_object_to_json_string(answer));
		json_object_put(answer);
	}
	assert_int_equal(provision->provisioner.store->revision, 3);
	assert_int_equal(provision->provisioner.store->number_count, 0);
}

static void test_all_faults_are_counted_and_nothing_is_changed(void **state)
{
	struct provision *provision = *state;
	static char text[200000] = HEAD "+15551230001,,acme,true,,\n";
	size_t used = strlen(text);
	accounts(provision);
	for (int i = 0; i < 1000; i++)
		used += (size_t)sprintf(text + used, "%d,,nobody,true,,\n", i);
	struct json_object *answer = import(provision, text, NULL);
	assert_int_equal(field(answer, "faultCount"), 2000);
	assert_int_equal(json_object_array_length(provision_get(provision_get(answer, "result"), "items")), 100);
	assert_int_equal(field(answer, "next"), 100);
	char id[24];
	snprintf(id, sizeof(id), "%lld", field(answer, "job"));
	json_object_put(answer);
	answer = ASK(provision, "job", id, "500", "1900");
	assert_int_equal(json_object_array_length(provision_get(provision_get(answer, "result"), "items")), 100);
	assert_null(provision_get(provision_get(answer, "result"), "next"));
	json_object_put(answer);
	assert_int_equal(provision->provisioner.store->number_count, 0);
}

static void test_import_is_published_and_logged_once(void **state)
{
	struct provision *provision = *state;
	struct attribute_set set;
	accounts(provision);
	struct json_object *answer = import(provision, NUMBERS, NULL);
	assert_int_equal(field(answer, "numbersAdded"), 3);
	assert_int_equal(field(answer, "rangesAdded"), 2);
	assert_int_equal(field(answer, "revision"), 3);
	is_done(answer);
	const struct region *region = provision->publisher.region;
	assert_int_equal(number_table_find(region, 15551230003, &set), 0);
	assert_string_equal(attribute_set_header(&set), "gold");
	assert_int_equal(number_table_find(region, 15551231500, &set), 0);
	assert_string_equal(attribute_set_header(&set), "narrow");
	assert_int_equal(number_table_find(region, 15551230002, &set), 0);
	assert_string_equal(set.account, "other");
	is_done(import(provision, NUMBERS, NULL));
	assert_int_equal(provision->provisioner.store->revision, 3);
	answer = import(provision, HEAD "+15551230003,,other,true,,\n", NULL);
	assert_int_equal(field(answer, "numbersChanged"), 1);
	is_done(answer);
	DONE(ASK(provision, "number_set", "+4420", "acme", "teamsOperatorConnect"));
	assert_int_equal(number_table_find(region, 4420, &set), 0);
	is_done(job_end(provision, ASK(provision, "verify")));
	uint64_t digest[2];
	assert_int_equal(store_digest_compute(provision->provisioner.store, digest), 0);
	assert_memory_equal(digest, provision->provisioner.store->digest, sizeof(digest));
}

static void test_import_takes_the_habits_of_spreadsheets(void **state)
{
	struct provision *provision = *state;
	accounts(provision);
	is_done(import(
		provision,
		"\xef\xbb\xbf\"telephoneNumber\";\"accountName\";\"serviceDetails_teamsOperatorConnect_enabled\";;\r\n"
		"\r\n'+15551230001;\"acme\";TRUE;;\r\n +15551230002 ; acme;True\r\n;;;;\r\n",
		NULL));
	assert_int_equal(provision->provisioner.store->number_count, 2);
}

static void test_dry_run_counts_and_changes_nothing(void **state)
{
	struct provision *provision = *state;
	accounts(provision);
	DONE(ASK(provision, "number_set", "+15551230001", "acme", "teamsOperatorConnect"));
	DONE(ASK(provision, "number_set", "+15551230002", "acme", "teamsOperatorConnect"));
	struct json_object *answer = import(provision, NUMBERS, "dry-run");
	assert_int_equal(field(answer, "numbersAdded"), 1);
	assert_int_equal(field(answer, "numbersChanged"), 1);
	assert_int_equal(field(answer, "rangesAdded"), 2);
	is_done(answer);
	assert_int_equal(provision->provisioner.store->revision, 4);
}

/* The store's rows of one table as text. */
static const char *rows_text(struct provision *provision, const char *sql)
{
	static char text[4096];
	sqlite3_stmt *statement;
	assert_int_equal(store_select(provision->provisioner.store, &statement, sql, ""), 0);
	assert_int_equal(store_step(provision->provisioner.store, &statement), 1);
	snprintf(text, sizeof(text), "%s", store_text(statement, 0));
	sqlite3_finalize(statement);
	return text;
}

static void digest_is_right(struct provision *provision)
{
	uint64_t digest[2];
	assert_int_equal(store_digest_compute(provision->provisioner.store, digest), 0);
	assert_memory_equal(digest, provision->provisioner.store->digest, sizeof(digest));
}

/* A bad cell, a number twice, no account, ranges that meet: in part, in the store, and only if another was there. */
#define MIXED                                                                                                          \
	HEAD "+15551230001,,acme,true,,\n15551230002,,acme,true,,\n+15551230001,,other,true,,\n"                       \
	     "+15551230003,,nobody,yes,,\n\"+1555\"x,,acme,true,,\n+4420,+4429,acme,true,,\n+4425,+4435,acme,true,,\n" \
	     "+4432,+4439,acme,true,,\n+4495,+4498,acme,true,,\n+15551230004,,acme,true,,gold\n"

static void test_skip_bad_takes_the_good_rows_and_reports_the_others(void **state)
{
	struct provision *provision = *state;
	accounts(provision);
	DONE(ASK(provision, "range_set", "+4490", "+4496", "acme", "teamsOperatorConnect"));
	static const unsigned lines[] = {3, 4, 5, 5, 6, 8, 10};
	char path[128];
	file_write(provision, MIXED);
	snprintf(path, sizeof(path), "%s/in.csv", provision->folder);
	for (int dry = 1; dry >= 0; dry--) {
		struct json_object *answer =
			dry ? job_end(provision, ASK(provision, "import", path, "skip-bad", "dry-run"))
			    : job_end(provision, ASK(provision, "import", path, "skip-bad"));
		struct json_object *items = provision_get(provision_get(answer, "result"), "items");
		assert_int_equal(field(answer, "rowsSkipped"), 6);
		assert_int_equal(field(answer, "faultCount"), 7);
		assert_int_equal(field(answer, "numbersAdded"), 2);
		assert_int_equal(field(answer, "rangesAdded"), 2);
		for (size_t i = 0; i < 7; i++)
			assert_int_equal(
				json_object_get_int(provision_get(json_object_array_get_idx(items, i), "line")),
				lines[i]);
		is_done(answer);
		assert_int_equal(provision->provisioner.store->revision, dry ? 3 : 4);
	}
	assert_string_equal(rows_text(provision, "SELECT group_concat(e164) FROM number"), "15551230001,15551230004");
	assert_string_equal(rows_text(provision, "SELECT group_concat(first) FROM number_range"), "4420,4432,4490");
	digest_is_right(provision);
	is_done(job_end(provision, ASK(provision, "verify")));
}

static void test_skip_bad_takes_nothing_from_a_file_without_columns(void **state)
{
	struct provision *provision = *state;
	accounts(provision);
	struct json_object *answer = import(provision, "+15551230001,acme\n+15551230002,acme\n", "skip-bad");
	assert_string_equal(json_object_get_string(provision_get(provision_get(answer, "result"), "state")), "failed");
	assert_int_equal(field(answer, "code"), 400);
	json_object_put(answer);
	provision_refused(ASK(provision, "import", "/x.csv", "skip"), 400, "option", "must be dry-run, skip-bad");
}

/* What was found out about the rows before the transaction is made good where the store has changed since. */
static void test_import_meets_changes_that_were_made_while_it_read(void **state)
{
	struct provision *provision = *state;
	struct store *store = provision->provisioner.store;
	struct bulk_progress progress = {0};
	struct bulk bulk;
	char path[128];
	accounts(provision);
	DONE(ASK(provision, "number_set", "+15551230001", "acme", "teamsOperatorConnect", "gold"));
	DONE(ASK(provision, "number_set", "+15551230002", "other", "teamsPhoneMobile"));
	DONE(ASK(provision, "number_set", "+15551230003", "acme", "teamsOperatorConnect", "old"));
	file_write(provision, NUMBERS "+15551230009,,acme,true,,\n+15551230010,,acme,true,,\n");
	snprintf(path, sizeof(path), "%s/in.csv", provision->folder);
	int file = open(path, O_RDONLY);
	assert_int_equal(bulk_init(&bulk, &progress, store), 0);
	assert_int_equal(bulk_read(&bulk, file), 0);
	assert_int_equal(bulk_check(&bulk, store), 0);
	assert_int_equal(bulk_compare(&bulk, store), 0);
	assert_int_equal(bulk.added, 2);
	assert_int_equal(bulk.changed, 2);
	close(file);
	DONE(ASK(provision, "number_delete", "+15551230002"));                                    /* same -> new */
	DONE(ASK(provision, "number_set", "+15551230009", "other", "teamsOperatorConnect", "n")); /* new -> moved */
	DONE(ASK(provision, "number_set", "+15551230003", "acme", "teamsOperatorConnect",
		 "gold")); /* changed -> same */
	DONE(ASK(provision, "number_set", "+15551230004", "acme", "teamsOperatorConnect", "gold"));
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(bulk_apply(&bulk, store), 0);
	assert_int_equal(bulk.added, 2);
	assert_int_equal(bulk.changed, 2);
	assert_int_equal(store_commit(store, &(struct store_change){"u", "v", "import", "[]", NULL}), 0);
	assert_int_equal(store->number_count, 6);
	assert_string_equal(
		rows_text(provision, "SELECT group_concat((e164 % 100) || s.account || service || header) FROM number n"
				     " JOIN attribute_set s ON s.id = n.attribute_set"),
		"1acme1,2other2,3acme1gold,4acme1gold,9acme1,10acme1");
	assert_string_equal(rows_text(provision,
				      "SELECT count(*) FROM number n JOIN attribute_set s ON s.id ="
				      " n.attribute_set JOIN account a ON a.id = n.account WHERE a.name != s.account"),
			    "0");
	digest_is_right(provision);
	bulk_finish(&bulk);
}

/* The account has its integer again, but not its sets. */
static void test_import_meets_an_account_that_was_deleted_and_set_again(void **state)
{
	struct provision *provision = *state;
	struct store *store = provision->provisioner.store;
	struct bulk_progress progress = {0};
	struct bulk bulk;
	char path[128];
	DONE(ASK(provision, "account_set", "other"));
	DONE(ASK(provision, "account_set", "acme"));
	DONE(ASK(provision, "number_set", "+15551230001", "acme", "teamsOperatorConnect"));
	DONE(ASK(provision, "number_delete", "+15551230001"));
	file_write(provision, HEAD "+15551230001,,acme,true,,\n+4420,+4429,acme,true,,\n");
	snprintf(path, sizeof(path), "%s/in.csv", provision->folder);
	int file = open(path, O_RDONLY);
	assert_int_equal(bulk_init(&bulk, &progress, store), 0);
	int64_t account = bulk.account_ids[0];
	assert_int_equal(bulk_read(&bulk, file), 0);
	assert_int_equal(bulk_check(&bulk, store), 0);
	assert_int_equal(bulk_compare(&bulk, store), 0);
	close(file);
	DONE(ASK(provision, "account_delete", "acme"));
	DONE(ASK(provision, "account_set", "acme"));
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(bulk_apply(&bulk, store), 0);
	assert_int_equal(bulk.account_ids[0], account);
	assert_int_equal(store_commit(store, &(struct store_change){"u", "v", "import", "[]", NULL}), 0);
	bulk_finish(&bulk);
	DONE(ASK(provision, "number_get", "+15551230001"));
	DONE(ASK(provision, "number_get", "+4425"));
	digest_is_right(provision);
}

/* The store holds as many around each other as may be; the file brings one around them, two in them, one beside. */
static void test_skip_bad_ends_where_ranges_nest_too_deep(void **state)
{
	struct provision *provision = *state;
	char first[24], last[24];
	accounts(provision);
	for (int i = 0; i < NUMBER_RANGE_DEPTH; i++) {
		snprintf(first, sizeof(first), "+1555%07d", 1000 + i);
		snprintf(last, sizeof(last), "+1555%07d", 9000 - i);
		DONE(ASK(provision, "range_set", first, last, "acme", "teamsOperatorConnect"));
	}
	static const char rows[] = HEAD "+15550000500,+15550009500,acme,true,,\n+15550002000,+15550002900,acme,true,,\n"
					"+15550003000,+15550003900,acme,true,,\n+4420,+4429,acme,true,,\n";
	struct json_object *answer = import(provision, rows, NULL);
	struct json_object *items = provision_get(provision_get(answer, "result"), "items");
	assert_int_equal(field(answer, "faultCount"), 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(json_object_get_int(provision_get(json_object_array_get_idx(items, i), "line")),
				 2 + i);
	json_object_put(answer);
	answer = import(provision, rows, "skip-bad");
	assert_int_equal(field(answer, "rowsSkipped"), 3);
	assert_int_equal(field(answer, "rangesAdded"), 1);
	is_done(answer);
}

/* A million rows: as many seconds as it takes, before it has a pace, by its pace, and after the last row. */
static void test_retry_after_counts_sets_and_what_comes_after_the_rows(void **state)
{
	struct job job = {.progress = {.total = 1000000}, .phase = JOB_WRITE, .phase_ms = request_clock_ms()};
	(void)state;
	assert_in_range(job_retry_after(&job), 2, 3);
	job.sets_new = 1000000;
	assert_in_range(job_retry_after(&job), 8, 10);
	job.progress.done = 500000;
	job.phase_ms -= 4000;
	assert_in_range(job_retry_after(&job), 5, 7);
	job.phase = JOB_COMMIT;
	assert_in_range(job_retry_after(&job), 2, 3);
}

/* Whoever comes first decides. */
static void test_a_job_is_either_cancelled_or_committed(void **state)
{
	struct job job = {0};
	(void)state;
	assert_int_equal(job_cancel_try(&job), 0);
	assert_int_equal(job_cancel_try(&job), 0);
	assert_int_equal(job_commit(&job), -ECANCELED);
	job = (struct job){0};
	assert_int_equal(job_commit(&job), 0);
	assert_int_equal(job_cancel_try(&job), -EALREADY);
}

static atomic_bool held;

/* As one whose disk takes its time. */
static void *held_main(void *argument)
{
	struct job *job = argument;
	uint64_t one = 1;
	while (held)
		usleep(1000);
	job->rc = -ECANCELED;
	atomic_store(&job->ended, true);
	assert_int_equal(write(job->provisioner->jobs->event, &one, sizeof(one)), sizeof(one));
	return NULL;
}

/* The loop would stand still if it waited for the worker's own job; the one that was asked for waits instead. */
static void test_a_job_starts_when_the_workers_own_has_ended(void **state)
{
	struct provision *provision = *state;
	static const struct job_kind kind = {.operation = "held", .own = true};
	struct job *own = calloc(1, sizeof(*own));
	char path[128], id[24];
	accounts(provision);
	assert_int_equal(jobs_new(&provision->provisioner.jobs), 0);
	struct jobs *jobs = provision->provisioner.jobs;
	*own = (struct job){.kind = &kind, .provisioner = &provision->provisioner, .file = -1};
	pthread_mutex_init(&own->lock, NULL);
	pthread_cond_init(&own->turn, NULL);
	held = true;
	assert_int_equal(pthread_create(&own->thread, NULL, held_main, own), 0);
	jobs->list[jobs->count++] = own;
	snprintf(path, sizeof(path), "%s/out.csv", provision->folder);
	alarm(30);
	struct json_object *answer = ASK(provision, "export", path);
	assert_int_equal(json_object_get_int(provision_get(answer, "code")), 200);
	assert_true(own->progress.cancel);
	snprintf(id, sizeof(id), "%lld", field(answer, "job"));
	provision_refused(ASK(provision, "verify"), 409, "job", "export");
	struct json_object *job = ASK(provision, "job", id);
	assert_string_equal(json_object_get_string(provision_get(provision_get(job, "result"), "phase")), "start");
	json_object_put(job);
	held = false;
	is_done(job_end(provision, answer));
	alarm(0);
	assert_int_equal(jobs->count, 1);
}

static void test_export_and_import_give_the_same_store(void **state)
{
	struct provision *provision = *state, *copy;
	uint64_t digest[2];
	accounts(provision);
	is_done(import(provision, NUMBERS, NULL));
	is_done(run(provision, "export", "out.csv", NULL));
	assert_string_equal(
		file_text(provision, "out.csv"),
		"telephoneNumber,telephoneNumberLast,accountName,serviceDetails_teamsOperatorConnect_enabled,"
		"serviceDetails_teamsPhoneMobile_enabled,serviceDetails_teamsDirectRouting_enabled,"
		"serviceDetails_zoomPhoneCloudPeering_enabled,configuration_customSipHeader\n"
		"+15551230000,+15551239999,acme,true,false,false,false,wide\n"
		"+15551230001,,acme,true,false,false,false,\n"
		"+15551230002,,other,false,true,false,false,\n"
		"+15551230003,,acme,true,false,false,false,gold\n"
		"+15551231000,+15551231999,acme,true,false,false,false,narrow\n");
	memcpy(digest, provision->provisioner.store->digest, sizeof(digest));
	DONE(ASK(provision, "number_delete", "+15551230001"));
	DONE(ASK(provision, "range_delete", "+15551231000", "+15551231999"));
	is_done(run(provision, "import", "out.csv", NULL));
	assert_memory_equal(digest, provision->provisioner.store->digest, sizeof(digest));
	provision_init((void **)&copy);
	accounts(copy);
	/* a store with another past: other ids, and a set that nobody uses any more */
	DONE(ASK(copy, "number_set", "+4420", "other", "teamsOperatorConnect", "past"));
	DONE(ASK(copy, "number_set", "+4420", "acme", "teamsOperatorConnect", "narrow"));
	DONE(ASK(copy, "number_delete", "+4420"));
	is_done(import(copy, file_text(provision, "out.csv"), NULL));
	assert_memory_equal(digest, copy->provisioner.store->digest, sizeof(digest));
	import_finish((void **)&copy);
	is_done(run(provision, "export", "out2.csv", "other"));
	assert_non_null(strstr(file_text(provision, "out2.csv"), "+15551230002,,other"));
	assert_null(strstr(file_text(provision, "out2.csv"), "acme"));
}

/* What bulk_log_read() gives, put into a store that was at the revision before, makes the same store. */
static void test_import_is_replayed_from_the_log(void **state)
{
	struct provision *provision = *state, *copy;
	struct bulk_progress progress = {0};
	struct bulk bulk;
	accounts(provision);
	is_done(import(provision, NUMBERS, NULL));
	provision_init((void **)&copy);
	accounts(copy);
	struct store *store = copy->provisioner.store;
	assert_int_equal(bulk_init(&bulk, &progress, provision->provisioner.store), 0);
	assert_int_equal(bulk_log_read(&bulk, provision->provisioner.store, 3), 0);
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(bulk_apply(&bulk, store), 0);
	assert_int_equal(
		store_commit(store,
			     &(struct store_change){.user = "u", .via = "v", .operation = "import", .arguments = "[]"}),
		0);
	assert_memory_equal(store->digest, provision->provisioner.store->digest, sizeof(store->digest));
	assert_int_equal(bulk_log_read(&bulk, provision->provisioner.store, 2), -EBADMSG);
	bulk_finish(&bulk);
	provision_finish((void **)&copy);
}

static void test_jobs_are_refused_by_name(void **state)
{
	struct provision *provision = *state;
	accounts(provision);
	provision_refused(ASK(provision, "job", "7"), 404, "job", "there is no job 7");
	provision_refused(ASK(provision, "job_cancel", "7"), 404, "job", "there is no job 7");
	provision_refused(ASK(provision, "job", "x"), 400, "job", "whole number");
	provision_refused(ASK(provision, "import", "in.csv"), 400, "file", "must start with '/'");
	provision_refused(ASK(provision, "import", "/nonexistent.csv"), 400, "file", "No such file");
	provision_refused(ASK(provision, "import", "/tmp"), 400, "file", "is not a regular file");
	provision_refused(ASK(provision, "export", "out.csv"), 400, "file", "must start with '/'");
	provision_refused(ASK(provision, "export", "/tmp/x.csv", "nobody"), 404, "account", "no account nobody");
	struct json_object *answer = job_end(provision, ASK(provision, "export", "/nonexistent/x.csv"));
	assert_string_equal(json_object_get_string(provision_get(provision_get(answer, "result"), "state")), "failed");
	json_object_put(answer);
	char id[24];
	file_write(provision, NUMBERS);
	answer = import(provision, NUMBERS, NULL);
	snprintf(id, sizeof(id), "%lld", field(answer, "job"));
	json_object_put(answer);
	provision_refused(ASK(provision, "job_cancel", id), 409, "job", "it has ended: done");
	assert_int_equal(store_run(provision->provisioner.store, "UPDATE store SET role = 'replica'", ""), 0);
	assert_int_equal(store_refresh(provision->provisioner.store), 0);
	char path[128];
	snprintf(path, sizeof(path), "%s/in.csv", provision->folder);
	provision_refused(ASK(provision, "import", path), 409, "role", "replica");
}

static void test_verify_names_what_differs(void **state)
{
	struct provision *provision = *state;
	accounts(provision);
	is_done(import(provision, NUMBERS, NULL));
	number_table_delete(provision->publisher.table, 15551230001);
	assert_int_equal(number_table_put(provision->publisher.table, 4420, 1), 0);
	assert_int_equal(number_table_put(provision->publisher.table, 15551230002, 1), 0);
	struct json_object *answer = job_end(provision, ASK(provision, "verify"));
	const char *text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN);
	assert_non_null(strstr(text, "\"state\":\"failed\""));
	assert_non_null(strstr(text,
			       "{\"column\":\"+15551230001\",\"reason\":\"the store has attribute set 1, the table"
			       " attribute set 4\"}"));
	assert_non_null(strstr(text, "{\"column\":\"+15551230002\""));
	assert_int_equal(field(answer, "faultCount"), 3);
	json_object_put(answer);
}

/* More than are named are counted all the same, each once. */
static void test_verify_counts_every_difference(void **state)
{
	enum { NUMBERS_MANY = 1500, GONE = 1200 };
	struct provision *provision = *state;
	static char rows[sizeof(HEAD) + NUMBERS_MANY * 32];
	size_t used = (size_t)snprintf(rows, sizeof(rows), HEAD);
	accounts(provision);
	for (unsigned i = 0; i < NUMBERS_MANY; i++)
		used += (size_t)snprintf(rows + used, sizeof(rows) - used, "+4420%05u,,acme,true,,\n", i);
	is_done(import(provision, rows, NULL));
	is_done(job_end(provision, ASK(provision, "verify")));
	for (unsigned i = 0; i < GONE; i++)
		number_table_delete(provision->publisher.table, 442000000 + i);
	struct json_object *answer = job_end(provision, ASK(provision, "verify"));
	assert_int_equal(field(answer, "faultCount"), GONE + 1); /* and that the counts differ */
	json_object_put(answer);
}

/* What no join finds: a number whose set is gone, whether the table has it or not. */
static void test_verify_sees_a_number_without_a_set_and_a_wrong_digest(void **state)
{
	struct provision *provision = *state;
	accounts(provision);
	is_done(import(provision, NUMBERS, NULL));
	assert_int_equal(number_table_add_set(provision->publisher.table, 99, 1, span_of("acme"), span_of("")), 0);
	assert_int_equal(number_table_put(provision->publisher.table, 15551230001, 99), 0);
	number_table_delete(provision->publisher.table, 15551230002);
	assert_int_equal(store_run(provision->provisioner.store,
				   "UPDATE number SET attribute_set = 99 WHERE e164 IN (15551230001, 15551230002)", ""),
			 0);
	struct json_object *answer = job_end(provision, ASK(provision, "verify"));
	const char *text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN);
	assert_non_null(strstr(text,
			       "{\"column\":\"+15551230001\",\"reason\":\"the store has attribute set 99, which is"
			       " not there, the table attribute set 99 of other content\"}"));
	assert_non_null(strstr(text, "{\"column\":\"+15551230002\""));
	assert_non_null(strstr(text, "{\"column\":\"digest\""));
	json_object_put(answer);
}

/* As another program does it: the count is not kept, so that it is that of the table. */
static void test_verify_sees_a_number_that_only_the_table_has(void **state)
{
	struct provision *provision = *state;
	accounts(provision);
	is_done(import(provision, NUMBERS, NULL));
	assert_int_equal(store_run(provision->provisioner.store, "DELETE FROM number WHERE e164 = 15551230003", ""), 0);
	assert_int_equal(store_refresh(provision->provisioner.store), 0);
	struct json_object *answer = job_end(provision, ASK(provision, "verify"));
	const char *text = json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN);
	assert_non_null(strstr(text, "{\"column\":\"+15551230003\""));
	json_object_put(answer);
}

#define IMPORT_TEST(name) cmocka_unit_test_setup_teardown(name, provision_region_init, import_finish)

int main(void)
{
	const struct CMUnitTest tests[] = {IMPORT_TEST(test_each_fault_has_line_column_and_reason),
					   IMPORT_TEST(test_all_faults_are_counted_and_nothing_is_changed),
					   IMPORT_TEST(test_import_is_published_and_logged_once),
					   IMPORT_TEST(test_import_takes_the_habits_of_spreadsheets),
					   IMPORT_TEST(test_dry_run_counts_and_changes_nothing),
					   IMPORT_TEST(test_skip_bad_takes_the_good_rows_and_reports_the_others),
					   IMPORT_TEST(test_skip_bad_takes_nothing_from_a_file_without_columns),
					   IMPORT_TEST(test_import_meets_changes_that_were_made_while_it_read),
					   IMPORT_TEST(test_import_meets_an_account_that_was_deleted_and_set_again),
					   IMPORT_TEST(test_skip_bad_ends_where_ranges_nest_too_deep),
					   IMPORT_TEST(test_retry_after_counts_sets_and_what_comes_after_the_rows),
					   IMPORT_TEST(test_a_job_is_either_cancelled_or_committed),
					   IMPORT_TEST(test_a_job_starts_when_the_workers_own_has_ended),
					   IMPORT_TEST(test_export_and_import_give_the_same_store),
					   IMPORT_TEST(test_import_is_replayed_from_the_log),
					   IMPORT_TEST(test_jobs_are_refused_by_name),
					   IMPORT_TEST(test_verify_names_what_differs),
					   IMPORT_TEST(test_verify_counts_every_difference),
					   IMPORT_TEST(test_verify_sees_a_number_that_only_the_table_has),
					   IMPORT_TEST(test_verify_sees_a_number_without_a_set_and_a_wrong_digest)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
