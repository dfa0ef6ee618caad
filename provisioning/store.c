/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The store: file, lock, schema, transactions, change log. */
#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { APPLICATION_ID = 0x54726b67, BUSY_TIMEOUT_MS = 1000, CHECKPOINT_PAGES = 1000 }; /* "Trkg" */

/* Lines of schema.sql, made by the build. */
static const char *const schema_1[] = {
#include "schema.inc"
	NULL};

static const char *const schema_2[] = {
#include "schema-2.inc"
	NULL};

static const char *const schema_3[] = {
#include "schema-3.inc"
	NULL};

static const char *const schema_4[] = {
#include "schema-4.inc"
	NULL};

/* The i-th brings a store of version i to version i + 1. */
static const char *const *const migrations[STORE_SCHEMA_VERSION] = {schema_1, schema_2, schema_3, schema_4};

/* --- errors --- */

static int sqlite_errno(int code)
{
	static const struct {
		int code, error;
	} map[] = {{SQLITE_FULL, -ENOSPC},  {SQLITE_READONLY, -EROFS}, {SQLITE_BUSY, -EBUSY},
		   {SQLITE_LOCKED, -EBUSY}, {SQLITE_NOMEM, -ENOMEM},   {SQLITE_CANTOPEN, -EACCES},
		   {SQLITE_PERM, -EACCES},  {SQLITE_AUTH, -EACCES},    {SQLITE_NOTADB, -EPROTO}};

	for (size_t i = 0; i < sizeof(map) / sizeof(*map); i++)
		if ((code & 0xff) == map[i].code)
			return map[i].error;
	return -EIO;
}

int store_failed(struct store *store)
{
	snprintf(store->error, sizeof(store->error), "%s", sqlite3_errmsg(store->db));
	return sqlite_errno(sqlite3_errcode(store->db));
}

/* --- statements --- */

static int statement_bind(sqlite3_stmt *statement, const char *types, va_list values)
{
	int rc = SQLITE_OK;

	for (int i = 1; *types && rc == SQLITE_OK; types++, i++) {
		if (*types == 'i')
			rc = sqlite3_bind_int64(statement, i, va_arg(values, int64_t));
		else
			rc = sqlite3_bind_text(statement, i, va_arg(values, const char *), -1, SQLITE_TRANSIENT);
	}
	return rc;
}

static int store_prepare(struct store *store, sqlite3_stmt **statement, const char *sql, const char *types,
			 va_list values)
{
	*statement = NULL;
	if (sqlite3_prepare_v2(store->db, sql, -1, statement, NULL) != SQLITE_OK)
		return store_failed(store);
	if (statement_bind(*statement, types, values) == SQLITE_OK)
		return 0;
	int rc = store_failed(store);
	sqlite3_finalize(*statement);
	*statement = NULL;
	return rc;
}

int store_select(struct store *store, sqlite3_stmt **statement, const char *sql, const char *types, ...)
{
	va_list values;

	va_start(values, types);
	int rc = store_prepare(store, statement, sql, types, values);
	va_end(values);
	return rc;
}

int store_step(struct store *store, sqlite3_stmt **statement)
{
	int code = sqlite3_step(*statement);

	if (code == SQLITE_ROW)
		return 1;
	int rc = code == SQLITE_DONE ? 0 : store_failed(store);
	sqlite3_finalize(*statement);
	*statement = NULL;
	return rc;
}

int store_run(struct store *store, const char *sql, const char *types, ...)
{
	sqlite3_stmt *statement;
	va_list values;

	va_start(values, types);
	int rc = store_prepare(store, &statement, sql, types, values);
	va_end(values);
	if (rc)
		return rc;
	do
		rc = store_step(store, &statement);
	while (rc > 0);
	return rc;
}

int store_integer(struct store *store, int64_t *value, const char *sql, const char *types, ...)
{
	sqlite3_stmt *statement;
	va_list values;

	va_start(values, types);
	int rc = store_prepare(store, &statement, sql, types, values);
	va_end(values);
	if (rc)
		return rc;
	rc = store_step(store, &statement);
	if (rc < 1)
		return rc ? rc : -ENOENT;
	*value = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return 0;
}

const char *store_text(sqlite3_stmt *statement, int column)
{
	const unsigned char *text = sqlite3_column_text(statement, column);

	return text ? (const char *)text : "";
}

/* --- transactions --- */

static int state_read(struct store *store)
{
	sqlite3_stmt *statement;
	int rc = store_select(store, &statement,
			      "SELECT id, revision, digest, role, dialog_key, number_count FROM store", "");

	if (rc == 0)
		rc = store_step(store, &statement);
	if (rc < 0)
		return rc;
	if (rc == 0 || sqlite3_column_bytes(statement, 2) != STORE_DIGEST_SIZE ||
	    sqlite3_column_bytes(statement, 4) != DIALOG_KEY_SIZE) {
		sqlite3_finalize(statement);
		snprintf(store->error, sizeof(store->error), "the row that names the store is missing or damaged");
		return -EPROTO;
	}
	snprintf(store->id, sizeof(store->id), "%s", store_text(statement, 0));
	store->revision = (uint64_t)sqlite3_column_int64(statement, 1);
	digest_load(sqlite3_column_blob(statement, 2), store->digest);
	store->replica = strcmp(store_text(statement, 3), "replica") == 0;
	memcpy(store->dialog_key, sqlite3_column_blob(statement, 4), DIALOG_KEY_SIZE);
	store->number_count = sqlite3_column_int64(statement, 5);
	sqlite3_finalize(statement);
	return 0;
}

static int name_stat(const char *path, const char *ending, struct stat *status)
{
	char name[PATH_MAX];

	if ((size_t)snprintf(name, sizeof(name), "%s%s", path, ending) >= sizeof(name))
		return -ENAMETOOLONG;
	return stat(name, status) == 0 ? 0 : -errno;
}

/* SQLite would go on writing to a file that was deleted, and acknowledge what nobody can read again. */
static int file_present(struct store *store)
{
	struct stat file, log;

	if (name_stat(store->path, "", &file) == 0 && file.st_dev == store->device && file.st_ino == store->inode &&
	    name_stat(store->path, "-wal", &log) == 0 && log.st_ino == store->log_inode)
		return 0;
	snprintf(store->error, sizeof(store->error), "%s or its log was deleted or replaced: start again", store->path);
	return -ESTALE;
}

bool store_file_is(const char *path, const struct stat *file)
{
	static const char *const endings[] = {"", "-wal", "-shm", "-journal", ".lock", ".snapshot", ".snapshot.new"};
	struct stat own;

	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++)
		if (name_stat(path, endings[i], &own) == 0 && own.st_dev == file->st_dev && own.st_ino == file->st_ino)
			return true;
	return false;
}

void store_foreign_close(const struct store *store, int fd)
{
	struct stat file;

	if (fstat(fd, &file) == 0 && store_file_is(store->path, &file))
		return;
	close(fd);
}

int store_begin(struct store *store)
{
	int rc = file_present(store);

	if (rc)
		return rc;
	rc = store_run(store, "BEGIN IMMEDIATE", "");
	if (rc == 0)
		rc = state_read(store);
	if (rc)
		store_rollback(store);
	return rc;
}

/* The triggers have counted rows that are gone again, so the kept state is read back; the first error stays. */
void store_rollback(struct store *store)
{
	char error[STORE_ERROR_SIZE];

	memcpy(error, store->error, sizeof(error));
	if (!sqlite3_get_autocommit(store->db))
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	state_read(store);
	memcpy(store->error, error, sizeof(error));
}

static int kept_digest(struct store *store, uint64_t digest[2])
{
	sqlite3_stmt *statement;
	int rc = store_select(store, &statement, "SELECT digest FROM store", "");

	if (rc == 0)
		rc = store_step(store, &statement);
	if (rc < 1)
		return rc ? rc : -EPROTO;
	digest_load(sqlite3_column_blob(statement, 0), digest);
	sqlite3_finalize(statement);
	return 0;
}

bool store_changed(const struct store *store)
{
	uint64_t kept[2] = {0, 0};
	struct store *reader = (struct store *)(uintptr_t)store;

	return kept_digest(reader, kept) || kept[0] != store->digest[0] || kept[1] != store->digest[1];
}

void store_time_text(int64_t ms, char text[STORE_TIME_SIZE])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm utc;

	gmtime_r(&seconds, &utc);
	size_t used = strftime(text, STORE_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + used, STORE_TIME_SIZE - used, ".%03dZ", (int)(ms % 1000));
}

int64_t store_time(char text[STORE_TIME_SIZE])
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	store_time_text(ms, text);
	return ms;
}

/* Digests are written as hexadecimal text: no binding of blobs is needed then. */
static int change_write(struct store *store, const struct store_change *change)
{
	char time[STORE_TIME_SIZE], digest[2 * STORE_DIGEST_SIZE + 1];
	int64_t revision = (int64_t)store->revision + 1;

	store_time(time);
	store_digest_text(store->digest, digest);
	int rc = store_run(store, "UPDATE store SET revision = ?, digest = digest_bytes(?), number_count = ?", "iti",
			   revision, digest, store->number_count);
	if (rc == 0)
		rc = store_run(store,
			       "INSERT INTO change_log (revision, time, user, via, operation, arguments, document,"
			       " digest) VALUES (?, ?, ?, ?, ?, ?, ?, digest_bytes(?))",
			       "ittttttt", revision, time, change->user, change->via, change->operation,
			       change->arguments, change->document, digest);
	return rc;
}

int store_commit(struct store *store, const struct store_change *change)
{
	int rc = change ? change_write(store, change) : 0;

	if (rc == 0)
		rc = store_run(store, "COMMIT", "");
	if (rc)
		store_rollback(store);
	else if (change)
		store->revision++;
	return rc;
}

/* --- opening --- */

static int error_set(char error[STORE_ERROR_SIZE], int rc, const char *path, const char *reason)
{
	snprintf(error, STORE_ERROR_SIZE, "%s: %s", path, reason);
	return rc;
}

/* What root makes belongs to the owner of the folder, so that the gateway's own user can open it later. */
static void owner_set(int fd, const char *path)
{
	char folder[PATH_MAX];
	struct stat status;

	snprintf(folder, sizeof(folder), "%s", path);
	if (geteuid() != 0 || stat(dirname(folder), &status) != 0 || status.st_uid == 0)
		return;
	if (fchown(fd, status.st_uid, status.st_gid) != 0)
		return; /* a file system without owners: nothing to mend */
}

static int file_make(const char *path, int flags)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600);

	if (fd >= 0 && (flags & O_EXCL))
		owner_set(fd, path);
	return fd;
}

/* The lock file is made once and stays; it holds the process id of the last holder, for the error of the next. */
static int lock_take(const char *path, char error[STORE_ERROR_SIZE])
{
	char name[PATH_MAX], holder[64] = "";

	if ((size_t)snprintf(name, sizeof(name), "%s.lock", path) >= sizeof(name))
		return error_set(error, -ENAMETOOLONG, path, strerror(ENAMETOOLONG));
	int fd = file_make(name, O_EXCL);
	if (fd < 0 && errno == EEXIST)
		fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return error_set(error, -errno, name, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		int code = errno;
		ssize_t n = read(fd, holder, sizeof(holder) - 1);
		close(fd);
		if (code != EWOULDBLOCK)
			return error_set(error, -code, name, strerror(code));
		snprintf(name, sizeof(name), "in use by process %ld", n > 0 ? strtol(holder, NULL, 10) : 0L);
		return error_set(error, -EBUSY, path, name);
	}
	int length = snprintf(holder, sizeof(holder), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) == 0 && pwrite(fd, holder, (size_t)length, 0) < 0)
		return fd; /* a full disk must not stop the opening: the number is only for people */
	return fd;
}

static int script_run(struct store *store, const char *const *lines)
{
	size_t size = 1;

	for (const char *const *line = lines; *line; line++)
		size += strlen(*line);
	char *script = malloc(size), *end = script;
	if (!script)
		return -ENOMEM;
	for (const char *const *line = lines; *line; line++)
		end = stpcpy(end, *line);
	int rc = sqlite3_exec(store->db, script, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_failed(store);
	free(script);
	return rc;
}

static void uuid_make(char text[REGION_STORE_ID_SIZE])
{
	unsigned char b[16];

	randombytes_buf(b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* RFC 4122: version 4, variant 1 */
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(text, REGION_STORE_ID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		 b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

static int identity_make(struct store *store)
{
	char id[REGION_STORE_ID_SIZE], key_text[2 * DIALOG_KEY_SIZE + 1], sql[512];
	unsigned char key[DIALOG_KEY_SIZE];

	uuid_make(id);
	randombytes_buf(key, sizeof(key));
	sodium_bin2hex(key_text, sizeof(key_text), key, sizeof(key));
	snprintf(sql, sizeof(sql),
		 "INSERT INTO store (one, id, revision, digest, role, dialog_key)"
		 " VALUES (1, '%s', 0, zeroblob(%d), 'primary', x'%s')",
		 id, STORE_DIGEST_SIZE, key_text);
	int rc = store_run(store, sql, "");
	sodium_memzero(key, sizeof(key));
	sodium_memzero(key_text, sizeof(key_text));
	sodium_memzero(sql, sizeof(sql));
	return rc;
}

/* Returns 0 if the file is ours or empty. */
static int application_check(struct store *store)
{
	int64_t application = 0, objects = 0;
	int rc = store_integer(store, &application, "PRAGMA application_id", "");

	if (rc == 0)
		rc = store_integer(store, &objects, "SELECT count(*) FROM sqlite_schema", "");
	if (rc || application == APPLICATION_ID || objects == 0)
		return rc;
	snprintf(store->error, sizeof(store->error), "is a database of another program");
	return -EPROTO;
}

static int schema_update(struct store *store)
{
	char sql[128];
	int64_t version = 0;
	int rc = application_check(store);

	if (rc == 0)
		rc = store_integer(store, &version, "PRAGMA user_version", "");
	if (rc || version == STORE_SCHEMA_VERSION)
		return rc;
	if (version < 0 || version > STORE_SCHEMA_VERSION) {
		snprintf(store->error, sizeof(store->error),
			 "its schema version %lld is newer than %d, the newest that this program knows",
			 (long long)version, STORE_SCHEMA_VERSION);
		return -EPROTO;
	}
	for (int64_t step = version; step < STORE_SCHEMA_VERSION && rc == 0; step++)
		rc = script_run(store, migrations[step]);
	snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
		 STORE_SCHEMA_VERSION);
	if (rc == 0 && sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		rc = store_failed(store);
	return rc == 0 && version == 0 ? identity_make(store) : rc;
}

static int schema_init(struct store *store)
{
	int64_t version = 0;
	int rc = store_integer(store, &version, "PRAGMA user_version", "");

	if (rc == 0 && version == STORE_SCHEMA_VERSION)
		return application_check(store);
	/* Tables that others refer to are made anew; the pragma does nothing inside a transaction. */
	if (rc == 0)
		rc = store_run(store, "PRAGMA foreign_keys = OFF", "");
	if (rc == 0)
		rc = store_run(store, "BEGIN IMMEDIATE", "");
	if (rc == 0)
		rc = schema_update(store);
	if (rc == 0)
		rc = store_run(store, "COMMIT", "");
	if (rc && !sqlite3_get_autocommit(store->db))
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	return rc ? rc : store_run(store, "PRAGMA foreign_keys = ON", "");
}

/* As SQLite does by itself, but not while a job has left so much there that the loop would stand still. */
static int commit_noted(void *context, sqlite3 *db, const char *name, int pages)
{
	const struct store *store = context;

	if (pages >= CHECKPOINT_PAGES && !store->checkpoint_later)
		sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return SQLITE_OK;
}

void store_checkpoint(struct store *store)
{
	sqlite3_wal_checkpoint_v2(store->db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

void store_checkpoint_whole(struct store *store)
{
	int64_t timeout = BUSY_TIMEOUT_MS;

	store_integer(store, &timeout, "PRAGMA busy_timeout", "");
	sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
	sqlite3_wal_checkpoint_v2(store->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sqlite3_busy_timeout(store->db, (int)timeout);
}

/* WAL keeps readers (a backup, the sqlite3 shell) and the writer apart; FULL makes each commit durable. */
static int connection_init(struct store *store)
{
	static const char pragmas[] =
		"PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;"
		"PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 67108864";
	int64_t full = 0;

	sqlite3_extended_result_codes(store->db, 1);
	sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
	sqlite3_wal_hook(store->db, commit_noted, store);
	if (sqlite3_exec(store->db, pragmas, NULL, NULL, NULL) != SQLITE_OK)
		return store_failed(store);
	int rc = digest_functions_add(store);
	if (rc == 0)
		rc = store_run(store, "PRAGMA journal_mode = WAL", "");
	if (rc == 0)
		rc = store_integer(store, &full, "SELECT journal_mode = 'wal' FROM pragma_journal_mode", "");
	if (rc == 0 && !full) {
		snprintf(store->error, sizeof(store->error), "the file system takes no write-ahead log");
		rc = -EROFS;
	}
	return rc;
}

/* It is there from the first read until the last connection is closed. */
static int log_keep(struct store *store)
{
	struct stat log;
	int rc = name_stat(store->path, "-wal", &log);

	store->log_inode = rc == 0 ? log.st_ino : 0;
	return rc;
}

static int database_open(struct store *store, const char *path)
{
	int rc = sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, NULL);

	if (rc != SQLITE_OK)
		return store_failed(store);
	rc = connection_init(store);
	if (rc == 0)
		rc = schema_init(store);
	if (rc == 0)
		rc = digest_triggers_add(store);
	if (rc == 0)
		rc = state_read(store);
	return rc ? rc : log_keep(store);
}

static int path_keep(struct store *store, const char *path)
{
	struct stat status;

	store->path = strdup(path);
	if (!store->path || stat(path, &status) != 0)
		return store->path ? -errno : -ENOMEM;
	store->device = status.st_dev;
	store->inode = status.st_ino;
	return 0;
}

/* SQLite's own "unable to open database file" hides the reason. */
static int file_check(const char *path, bool create, char error[STORE_ERROR_SIZE])
{
	struct stat status;
	int fd = create ? file_make(path, O_EXCL) : -1;

	if (fd >= 0 || (create && errno != EEXIST)) {
		int rc = fd >= 0 ? 0 : error_set(error, -errno, path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	if (stat(path, &status) != 0)
		return error_set(error, -errno, path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return error_set(error, -EINVAL, path, "is not a regular file");
	if (access(path, R_OK | W_OK) != 0)
		return error_set(error, -errno, path, strerror(errno));
	return 0;
}

/*
 * A process killed within a commit may leave it whole in the log, yet unknown to SQLite's index of the log. While
 * another reader keeps that index alive, we do not see the commit; the first to open the store after that reader would
 * recover it. A commit of our own takes its place, so what we see now stays; the pragma writes its page even where the
 * value is the same, which UPDATE does not. No room for it: nothing else fits either.
 */
static void log_settle(struct store *store)
{
	char sql[64];

	snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", STORE_SCHEMA_VERSION);
	store_run(store, sql, "");
	store->error[0] = '\0';
}

int store_open(const char *path, bool create, struct store **store, char error[STORE_ERROR_SIZE])
{
	char real[PATH_MAX];

	if (sodium_init() < 0)
		return error_set(error, -EIO, path, "no random numbers");
	int rc = file_check(path, create, error);
	if (rc)
		return rc;
	if (!realpath(path, real)) /* the lock of one file, whatever the way to it */
		return error_set(error, -errno, path, strerror(errno));
	struct store *new = calloc(1, sizeof(*new));
	if (!new)
		return error_set(error, -ENOMEM, path, strerror(ENOMEM));
	new->lock = rc = lock_take(real, error);
	if (rc >= 0) {
		rc = path_keep(new, real);
		if (rc == 0)
			rc = database_open(new, real);
		if (rc)
			error_set(error, rc, path, new->error[0] ? new->error : strerror(-rc));
		else
			log_settle(new);
	}
	if (rc) {
		store_free(new);
		return rc;
	}
	*store = new;
	return 0;
}

int store_open_again(const struct store *store, struct store **again, char error[STORE_ERROR_SIZE])
{
	struct store *new = calloc(1, sizeof(*new));

	if (!new)
		return error_set(error, -ENOMEM, store->path, strerror(ENOMEM));
	new->lock = -1;
	int rc = path_keep(new, store->path);
	if (rc == 0)
		rc = database_open(new, store->path);
	if (rc) {
		error_set(error, rc, store->path, new->error[0] ? new->error : strerror(-rc));
		store_free(new);
		return rc;
	}
	*again = new;
	return 0;
}

int store_refresh(struct store *store)
{
	return state_read(store);
}

void store_free(struct store *store)
{
	if (!store)
		return;
	sqlite3_close(store->db);
	if (store->lock >= 0)
		close(store->lock);
	free(store->path);
	sodium_memzero(store->dialog_key, sizeof(store->dialog_key));
	free(store);
}
