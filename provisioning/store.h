/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The store: one SQLite file, opened by one process at a time.
 *
 * A lock on <store>.lock is held while it is open. Each change is one transaction: data, revision + 1, digest, log.
 * The digest (digest.h) says the same of the same content, whatever the way there.
 */
#ifndef TRUNKGATE_STORE_H
#define TRUNKGATE_STORE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "region.h"
#include "topology.h"

enum { STORE_SCHEMA_VERSION = 4, STORE_DIGEST_SIZE = 16, STORE_ERROR_SIZE = 512 };

struct store {
	sqlite3 *db;
	int lock; /**< descriptor that holds the lock */
	char *path;
	dev_t device;
	ino_t inode, log_inode; /**< of the database and its write-ahead log */
	char id[REGION_STORE_ID_SIZE];
	uint64_t revision;
	uint64_t digest[2]; /**< little-endian halves */
	int64_t number_count;
	bool replica;
	bool checkpoint_later; /**< commits do not checkpoint: the job that set this does */
	uint8_t dialog_key[DIALOG_KEY_SIZE];
	char error[STORE_ERROR_SIZE]; /**< of the last call that failed */
};

/**
 * SQL: operations of the change log after which an account's integer and a set's id still name what they did. Any other
 * (import, account_delete) makes what was read before worthless.
 */
#define STORE_SMALL_CHANGES                                                                                            \
	"('account_set', 'number_set', 'number_delete', 'range_set', 'range_delete', 'topology_load')"

/** One line of the change log. */
struct store_change {
	const char *user, *via, *operation, *arguments; /**< arguments: JSON array */
	const char *document;                           /**< or NULL */
};

/**
 * Opens (with @p create: makes) the store, brings its schema up to date and checks it. @p error names file and reason.
 * Returns 0, -EBUSY (another process has it), -EPROTO (newer schema, or not a store of ours) or another -errno.
 */
int store_open(const char *path, bool create, struct store **store, char error[STORE_ERROR_SIZE]);
void store_free(struct store *store);

/** A second connection of the process that has it open, for another thread. Returns 0 or -errno with @p error. */
int store_open_again(const struct store *store, struct store **again, char error[STORE_ERROR_SIZE]);

/** Reads revision, digest and role afresh, after another connection has changed them. Returns 0 or -errno. */
int store_refresh(struct store *store);

/**
 * Is this one of the files of the store at @p path: database, write-ahead log, index, lock, snapshot? A process that
 * has the store open must not open these: closing any descriptor of a file drops all POSIX locks that the process has
 * on it, SQLite's too (https://www.sqlite.org/howtocorrupt.html, section 2.2).
 */
bool store_file_is(const char *path, const struct stat *file);

/** Closes a descriptor that came from outside; one of the store's own files stays open for good. */
void store_foreign_close(const struct store *store, int fd);

/** Takes over SQLite's error. Returns its -errno. */
int store_failed(struct store *store);

/** Starts a transaction and reads revision, digest and role afresh. Returns 0 or -errno with store->error. */
int store_begin(struct store *store);

/** Ends it. @p change is logged with the next revision; NULL for this node's own state and for nothing changed. */
int store_commit(struct store *store, const struct store_change *change);
void store_rollback(struct store *store);

/** Brings the write-ahead log into the file, as far as no reader needs it; nothing is lost if it cannot. */
void store_checkpoint(struct store *store);

/** The same, and gives the log's space back; waits a moment for readers. */
void store_checkpoint_whole(struct store *store);

/** True if rows in the digest changed since store_begin(). */
bool store_changed(const struct store *store);

/** The time now, in UTC, as kept in the store. Returns the same as Unix time in milliseconds. */
enum { STORE_TIME_SIZE = 32 };
int64_t store_time(char text[STORE_TIME_SIZE]);
void store_time_text(int64_t ms, char text[STORE_TIME_SIZE]);

/**
 * One statement. @p types names the arguments that follow: 'i' int64_t, 't' const char *.
 * Returns 0 or -errno with store->error; store_run() expects no rows.
 */
int store_run(struct store *store, const char *sql, const char *types, ...);
int store_select(struct store *store, sqlite3_stmt **statement, const char *sql, const char *types, ...);

/** Returns 1 with a row, 0 at the end, or -errno; the statement is finalised unless there is a row. */
int store_step(struct store *store, sqlite3_stmt **statement);

/** First column of the first row. Returns 0, -ENOENT (no row) or another -errno. */
int store_integer(struct store *store, int64_t *value, const char *sql, const char *types, ...);

/** Text of a column, never NULL. */
const char *store_text(sqlite3_stmt *statement, int column);

#endif
