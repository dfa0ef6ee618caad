/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Tests of the store: opening, lock, schema, digest, transactions. */
#include "provision.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define DIGEST_1 "03301ff7f79da9899cbb9d9291a67399"
#define DIGEST_2 "33dd502c45e5bfa49f7a989c2628e1b4"
/* of the rows of version 1 below, computed apart from this program */
#define DIGEST_4 "c4230e65fed49808ab19884a6141baa0"

static int64_t integer(struct store *store, const char *sql)
{
	int64_t value = -1;

	assert_int_equal(store_integer(store, &value, sql, ""), 0);
	return value;
}

static void digest_is_right(struct store *store)
{
	uint64_t digest[2];

	assert_int_equal(store_digest_compute(store, digest), 0);
	assert_memory_equal(digest, store->digest, sizeof(digest));
}

static void reopen_fails(struct provision *provision, int rc, const char *reason)
{
	char error[STORE_ERROR_SIZE] = "";
	struct store *store = NULL;

	assert_int_equal(store_open(provision->path, true, &store, error), rc);
	assert_null(store);
	assert_non_null(strstr(error, provision->path));
	if (!strstr(error, reason))
		fail_msg("%s", error);
}

static void close_store(struct provision *provision)
{
	store_free(provision->provisioner.store);
	provision->provisioner.store = NULL;
}

static void test_store_is_durable_and_strict(void **state)
{
	struct store *store = ((struct provision *)*state)->provisioner.store;

	assert_int_equal(integer(store, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
	assert_int_equal(integer(store, "PRAGMA synchronous"), 2);
	assert_int_equal(integer(store, "PRAGMA foreign_keys"), 1);
	assert_int_equal(integer(store, "PRAGMA user_version"), STORE_SCHEMA_VERSION);
	assert_int_equal(integer(store,
				 "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
				 " AND name NOT LIKE 'sqlite%' AND NOT strict"),
			 0);
	assert_int_equal(store_run(store, "INSERT INTO number VALUES ('abc', 1, 1)", ""), -EIO);
	assert_int_equal(store_run(store, "INSERT INTO number VALUES (15551230001, 1, 99)", ""), -EIO);
}

static void test_store_file_is_for_its_owner_only(void **state)
{
	struct provision *provision = *state;
	struct stat status;

	assert_int_equal(stat(provision->path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
}

static void test_store_names_itself_once(void **state)
{
	struct provision *provision = *state;
	char id[REGION_STORE_ID_SIZE];
	uint8_t key[DIALOG_KEY_SIZE], zero[DIALOG_KEY_SIZE] = {0};

	memcpy(id, provision->provisioner.store->id, sizeof(id));
	memcpy(key, provision->provisioner.store->dialog_key, sizeof(key));
	assert_int_equal(strlen(id), 36);
	assert_int_equal(id[14], '4');
	assert_memory_not_equal(key, zero, sizeof(key));
	close_store(provision);
	provision_open(provision);
	assert_string_equal(provision->provisioner.store->id, id);
	assert_memory_equal(provision->provisioner.store->dialog_key, key, sizeof(key));
}

static void test_store_is_open_once(void **state)
{
	char holder[32];

	snprintf(holder, sizeof(holder), "in use by process %ld", (long)getpid());
	reopen_fails(*state, -EBUSY, holder);
}

static void test_store_refuses_a_newer_schema(void **state)
{
	struct provision *provision = *state;

	assert_int_equal(store_run(provision->provisioner.store, "PRAGMA user_version = 99", ""), 0);
	close_store(provision);
	reopen_fails(provision, -EPROTO, "schema version 99 is newer than 4");
}

static void test_store_refuses_the_database_of_another_program(void **state)
{
	struct provision *provision = *state;

	assert_int_equal(store_run(provision->provisioner.store, "PRAGMA application_id = 5", ""), 0);
	close_store(provision);
	reopen_fails(provision, -EPROTO, "another program");
}

static void test_store_refuses_what_is_no_database(void **state)
{
	struct provision *provision = *state;

	close_store(provision);
	int fd = open(provision->path, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "this is a shopping list, not a database; it goes on for some time", 65), 65);
	close(fd);
	reopen_fails(provision, -EPROTO, "not a database");
}

static void test_store_names_a_missing_folder(void **state)
{
	char error[STORE_ERROR_SIZE];
	struct store *store = NULL;

	(void)state;
	assert_int_equal(store_open("/nonexistent/folder/t.db", true, &store, error), -ENOENT);
	assert_string_equal(error, "/nonexistent/folder/t.db: No such file or directory");
	assert_int_equal(store_open("/tmp", true, &store, error), -EINVAL);
	assert_string_equal(error, "/tmp: is not a regular file");
}

static void test_store_is_not_made_unless_wanted(void **state)
{
	struct provision *provision = *state;
	char error[STORE_ERROR_SIZE], path[128];
	struct store *store = NULL;

	snprintf(path, sizeof(path), "%s/other.db", provision->folder);
	assert_int_equal(store_open(path, false, &store, error), -ENOENT);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_store_takes_an_empty_file(void **state)
{
	struct provision *provision = *state;

	close_store(provision);
	assert_int_equal(truncate(provision->path, 0), 0);
	provision_open(provision);
	assert_int_equal(provision->provisioner.store->revision, 0);
}

/* A store as an earlier version wrote it: made from its schemas and filled by statements of that time. */
static void store_make(const char *path, const char *const *schemas, const char *rows)
{
	static char text[65536];
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	for (; *schemas; schemas++) {
		FILE *file = fopen(*schemas, "r");
		assert_non_null(file);
		text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
		fclose(file);
		assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	}
	assert_int_equal(sqlite3_exec(db, rows, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static struct store *store_remake(struct provision *provision, const char *const *schemas, const char *rows)
{
	close_store(provision);
	assert_int_equal(unlink(provision->path), 0);
	store_make(provision->path, schemas, rows);
	provision_open(provision);
	struct store *store = provision->provisioner.store;
	assert_int_equal(integer(store, "PRAGMA user_version"), STORE_SCHEMA_VERSION);
	assert_int_equal(store->revision, 5);
	digest_is_right(store);
	assert_int_equal(integer(store, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
	return store;
}

#define STORE_ROW(values) "INSERT INTO store VALUES (1, '00000000-0000-4000-8000-000000000000', 5, " values ");"

static void test_store_of_version_1_is_brought_up_to_date(void **state)
{
	static const char rows[] = "PRAGMA application_id = 0x54726b67; PRAGMA user_version = 1;"
				   "INSERT INTO account VALUES ('zeta'), ('acme');"
				   "INSERT INTO attribute_set VALUES (3, 'zeta', 1, ''), (7, 'acme', 1, 'gold');"
				   "INSERT INTO number VALUES (15551230001, 7), (15551230002, 3), (15551230003, 7);"
				   "INSERT INTO change_log VALUES (4, '', '', '', 'account_set', '[]', NULL, x'04'),"
				   " (5, '', '', '', 'number_set', '[]', NULL, x'" DIGEST_1
				   "');" STORE_ROW("x'" DIGEST_1 "', 'primary', zeroblob(32)");
	struct provision *provision = *state;
	struct store *store = store_remake(provision, (const char *const[]){SCHEMAS "/schema.sql", NULL}, rows);

	char digest[2 * STORE_DIGEST_SIZE + 1];
	store_digest_text(store->digest, digest);
	assert_string_equal(digest, DIGEST_4); /* no matter what ids the sets have */
	/* a snapshot made now is known by it; one of an earlier revision stays what it was */
	assert_int_equal(integer(store, "SELECT revision FROM change_log WHERE digest = (SELECT digest FROM store)"),
			 5);
	assert_int_equal(integer(store, "SELECT revision FROM change_log WHERE digest = x'04'"), 4);
	assert_int_equal(store->number_count, 3);
	provision_refused(ASK(provision, "account_delete", "acme"), 409, "account", "still has 2 numbers");
	DONE(ASK(provision, "number_delete", "+15551230002"));
	DONE(ASK(provision, "account_delete", "zeta"));
	digest_is_right(store);
	assert_int_equal(store->number_count, 2);
}

static void test_store_of_version_2_is_brought_up_to_date(void **state)
{
	static const char *const schemas[] = {SCHEMAS "/schema.sql", SCHEMAS "/schema-2.sql", NULL};
	static const char rows[] = "PRAGMA application_id = 0x54726b67; PRAGMA user_version = 2;"
				   "INSERT INTO setting VALUES ('mode', 'lab');"
				   "INSERT INTO peer_group VALUES (4, 0, 'core', 'operator', 'UDP', 'RTP', 0, '');"
				   "INSERT INTO peer VALUES (9, 4, 0, 'west-1', 'west', '192.0.2.10', 5062, 100);"
				   "INSERT INTO peer_priority VALUES (9, '', 0);"
				   "INSERT INTO peer_prefix VALUES (9, 'media', 0, '192.0.2.0/24');"
				   "INSERT INTO administrative_state VALUES (9, 'drain', '2026-01-01T00:00:00.000Z', "
				   "'root', 'cli');" STORE_ROW("x'" DIGEST_2 "', 'primary', zeroblob(32), 0");
	struct provision *provision = *state;
	struct store *store = store_remake(provision, schemas, rows);
	struct json_object *answer = ASK(provision, "topology_get");
	const char *text = json_object_to_json_string_ext(provision_get(answer, "result"), JSON_C_TO_STRING_PLAIN);

	assert_non_null(strstr(text, "\"capacity\":0,\"callsPerSecond\":0"));
	assert_non_null(strstr(text, "\"srtpSuites\":[],\"dtlsProfiles\":[],\"keepaliveNames\":[]"));
	json_object_put(answer);
	assert_int_equal(integer(store, "SELECT count(*) FROM administrative_state WHERE state = 'drain'"), 1);
	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_run(store, "UPDATE peer SET capacity = 5", ""), 0);
	assert_true(store_changed(store));
	digest_is_right(store);
	uint64_t capacity = store->digest[0];
	assert_int_equal(store_run(store, "UPDATE peer SET capacity = 0, calls_per_second = 5", ""), 0);
	digest_is_right(store);
	assert_true(store->digest[0] != capacity);
	assert_int_equal(store_run(store, "UPDATE peer SET calls_per_second = 0", ""), 0);
	assert_false(store_changed(store));
	store_rollback(store);
}

/* A page of an account, wherever it stands, is read by its key. */
static void test_number_list_of_an_account_sorts_nothing(void **state)
{
	struct store *store = ((struct provision *)*state)->provisioner.store;
	sqlite3_stmt *statement;

	assert_int_equal(store_select(store, &statement,
				      "EXPLAIN QUERY PLAN SELECT n.e164, s.account FROM number n"
				      " CROSS JOIN attribute_set s ON s.id = n.attribute_set"
				      " WHERE n.account = 1 AND n.e164 > 5 ORDER BY n.e164 LIMIT 3",
				      ""),
			 0);
	assert_int_equal(store_step(store, &statement), 1);
	assert_non_null(strstr(store_text(statement, 3), "number_by_account (account=? AND rowid>?)"));
	while (store_step(store, &statement) > 0)
		assert_null(strstr(store_text(statement, 3), "TEMP B-TREE"));
}

static void test_digest_follows_every_change(void **state)
{
	struct provision *provision = *state;
	struct store *store = provision->provisioner.store;
	uint64_t before[2];

	digest_is_right(store);
	DONE(ASK(provision, "account_set", "acme"));
	digest_is_right(store);
	memcpy(before, store->digest, sizeof(before));
	DONE(ASK(provision, "account_set", "other"));
	assert_memory_not_equal(before, store->digest, sizeof(before));
	DONE(ASK(provision, "account_delete", "other"));
	assert_memory_equal(before, store->digest, sizeof(before));
	DONE(ASK(provision, "number_set", "+15551230001", "acme", "teamsOperatorConnect"));
	DONE(ASK(provision, "number_set", "+15551230001", "acme", "teamsOperatorConnect", "gold"));
	digest_is_right(store);
	DONE(LOAD(provision, provision_topology, "t.json"));
	digest_is_right(store);
	DONE(ASK(provision, "number_delete", "+15551230001"));
	digest_is_right(store);
	close_store(provision);
	provision_open(provision);
	digest_is_right(provision->provisioner.store);
}

static void test_rollback_takes_the_digest_back(void **state)
{
	struct store *store = ((struct provision *)*state)->provisioner.store;

	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_run(store, "INSERT INTO account (name) VALUES ('x')", ""), 0);
	assert_true(store_changed(store));
	store_rollback(store);
	assert_false(store_changed(store));
	digest_is_right(store);
	assert_int_equal(store->revision, 0);
}

static void test_commit_counts_and_logs(void **state)
{
	struct store *store = ((struct provision *)*state)->provisioner.store;
	struct store_change change = {.user = "u", .via = "v", .operation = "o", .arguments = "[]"};

	assert_int_equal(store_begin(store), 0);
	assert_int_equal(store_run(store, "INSERT INTO account (name) VALUES ('x')", ""), 0);
	assert_int_equal(store_commit(store, &change), 0);
	assert_int_equal(store->revision, 1);
	assert_int_equal(integer(store, "SELECT count(*) FROM change_log l JOIN store s USING (revision, digest)"
					" WHERE user = 'u' AND via = 'v' AND operation = 'o' AND document IS NULL"),
			 1);
}

/* What was acknowledged is there, what was not is not, and the lock is free. */
static void test_killed_writer_leaves_a_whole_store(void **state)
{
	struct provision *provision = *state;

	close_store(provision);
	pid_t child = fork();
	if (child == 0) {
		char error[STORE_ERROR_SIZE];
		struct store *store = NULL;
		if (store_open(provision->path, true, &store, error))
			_exit(1);
		provision->provisioner.store = store;
		static const char line[] = "{\"operation\":\"account_set\",\"arguments\":[\"acme\"]}";
		char *answer = request_answer(&provision->provisioner, line, strlen(line), "tester", -1);
		if (!answer || store_begin(store) || store_run(store, "INSERT INTO account (name) VALUES ('half')", ""))
			_exit(1);
		raise(SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	provision_open(provision);
	assert_int_equal(provision->provisioner.store->revision, 1);
	assert_int_equal(integer(provision->provisioner.store, "SELECT count(*) FROM account"), 1);
	digest_is_right(provision->provisioner.store);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, provision_init, provision_finish)

int main(void)
{
	const struct CMUnitTest tests[] = {STORE_TEST(test_store_is_durable_and_strict),
					   STORE_TEST(test_store_file_is_for_its_owner_only),
					   STORE_TEST(test_store_names_itself_once),
					   STORE_TEST(test_store_is_open_once),
					   STORE_TEST(test_store_refuses_a_newer_schema),
					   STORE_TEST(test_store_refuses_the_database_of_another_program),
					   STORE_TEST(test_store_refuses_what_is_no_database),
					   STORE_TEST(test_store_names_a_missing_folder),
					   STORE_TEST(test_store_is_not_made_unless_wanted),
					   STORE_TEST(test_store_takes_an_empty_file),
					   STORE_TEST(test_store_of_version_1_is_brought_up_to_date),
					   STORE_TEST(test_store_of_version_2_is_brought_up_to_date),
					   STORE_TEST(test_number_list_of_an_account_sorts_nothing),
					   STORE_TEST(test_digest_follows_every_change),
					   STORE_TEST(test_rollback_takes_the_digest_back),
					   STORE_TEST(test_commit_counts_and_logs),
					   STORE_TEST(test_killed_writer_leaves_a_whole_store)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
