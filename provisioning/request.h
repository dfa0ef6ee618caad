/* SPDX-License-Identifier: GPL-2.0-or-later */
/** One request line in, one answer line out: check, transaction, commit, publish, acknowledge. */
#ifndef TRUNKGATE_REQUEST_H
#define TRUNKGATE_REQUEST_H

#include <json-c/json.h>

#include "operation.h"
#include "publisher.h"
#include "store.h"

/** Who answers: the worker, or the command line while no worker runs. */
struct provisioner {
	struct store *store;
	struct publisher *publisher; /**< NULL: there is no region */
	const char *region_name;
	bool worker;
	bool worker_awaited;        /**< calls go on without this change until a worker starts: the answer says so */
	struct jobs *jobs;          /**< NULL before the first */
	uint64_t snapshot_revision; /**< of the snapshot on the disk; 0 = none */
	int64_t snapshot_ms;        /**< when the last one ended */
	void (*log)(const char *what, const char *reason); /**< or NULL */
	int64_t started_ms;                                /**< monotonic clock */
};

/** One operation under way. Handlers fill in result and change, or the fault. */
struct call {
	struct provisioner *provisioner;
	struct store *store;
	const struct operation *operation;
	const char *arguments[OPERATION_ARGUMENTS_MAX]; /**< checked; NULL where absent */
	size_t argument_count;
	const char *user, *via;
	const char *document; /**< text of the file */
	size_t document_length;
	int file; /**< descriptor that came along, or -1; who takes it sets -1 */
	struct json_object *result;
	char *logged_document; /**< malloc'd: goes into the change log */
	bool discard;          /**< a dry run: take everything back */
	struct publisher_change change;
	struct fault fault;
};

/** Handlers by name; each table is ended by a row without one. */
struct call_handler {
	const char *name;
	int (*run)(struct call *call); /**< 0, or -errno with the fault or store->error set */
};
extern const struct call_handler job_handlers[], number_handlers[], range_handlers[], topology_handlers[];

/** A checked argument as a number. */
uint64_t request_number(const char *text);

/** The store's integer for an account. Returns 0, the fault that there is none, or another -errno. */
int request_account(struct call *call, const char *name, int64_t *account);

/**
 * Fills in a page of @p limit items from a statement that gives one row more; "next" is what @p next makes of the last
 * item. The statement is finalised.
 */
int request_page(struct call *call, sqlite3_stmt *statement, unsigned limit,
		 struct json_object *(*next)(struct json_object *item),
		 struct json_object *(*item)(sqlite3_stmt *statement));

/**
 * Answers one request line of @p user; @p file is a descriptor that came with it, or -1, and is taken over. The answer
 * is malloc'd, without newline; NULL only for want of memory.
 */
char *request_answer(struct provisioner *provisioner, const char *line, size_t length, const char *user, int file);

/** Opens the file that argument 1 names, as the worker's user. Returns 0 or the fault. */
int request_open(struct call *call, int *file);

/** Refuses a file of the store itself. Returns 0 or the fault. */
int request_file_check(struct call *call, const struct stat *file);

/** An answer that says no, for callers that have nothing to ask. */
char *request_refuse(int code, const char *field, const char *reason);

/** Milliseconds of a clock that only goes forward. */
int64_t request_clock_ms(void);

#endif
