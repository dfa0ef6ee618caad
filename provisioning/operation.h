/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The operation table: what can be asked, with which arguments. Every door (worker, command line, RPC, completion,
 * README) reads it, and every argument is validated by it and nowhere else.
 */
#ifndef TRUNKGATE_OPERATION_H
#define TRUNKGATE_OPERATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"
#include "span.h"

enum {
	OPERATION_ARGUMENTS_MAX = 5,
	OPERATION_LIST_DEFAULT = 100, /**< rows of a list page */
	OPERATION_LIST_MAX = 500,
	OPERATION_FILE_MAX = 30 << 20, /**< bytes of a document, so that it fits a request line */
};

enum operation_flag {
	OPERATION_WRITES = 1,       /**< changes the store */
	OPERATION_READS_FILE = 2,   /**< argument 1 is a file; the caller may send its text as "document" */
	OPERATION_TAKES_FILE = 32,  /**< argument 1 is a file; the caller may send an open descriptor along */
	OPERATION_WRITES_FILE = 64, /**< the same, for writing */
	OPERATION_HIDDEN = 4,       /**< not for the command line */
	OPERATION_JOB = 16,         /**< starts a job and answers with its id */
	OPERATION_NODE_LOCAL = 8,   /**< changes only this node's state: no revision, no log, replicas too */
};

/** A kind of argument. */
struct argument_kind {
	const char *name;                       /**< shown in documents: "number" */
	const char *rule;                       /**< one line for people */
	const char *(*fault)(struct span text); /**< NULL, or why it is refused */
	const char *(*choice)(size_t index);    /**< the i-th allowed text, NULL at the end; may itself be NULL */
};

struct argument {
	const char *name; /**< the field of an error */
	const struct argument_kind *kind;
	bool required; /**< optional ones come last */
};

struct operation {
	const char *name;
	const char *help;                                       /**< one line */
	struct argument arguments[OPERATION_ARGUMENTS_MAX + 1]; /**< ended by a row without a name */
	unsigned flags;
};

/** All operations, ended by a row whose name is NULL. */
extern const struct operation operations[];

/** NULL if there is no such operation. */
const struct operation *operation_find(const char *name);

size_t operation_argument_count(const struct operation *operation);

/** Checks number and values of the arguments. Returns 0 or -EINVAL with @p fault set. */
int operation_check(const struct operation *operation, const char *const *arguments, size_t count, struct fault *fault);

/** Writes "number_set <number> <account> <service> [<header>]". */
void operation_usage(const struct operation *operation, char *text, size_t size);

/** The two numbers of a checked "+<first>-+<last>". Returns 0, or -EINVAL for other text. */
int operation_range(const char *text, uint64_t *first, uint64_t *last);

/** A checked limit argument as a number; NULL gives the default. */
unsigned operation_limit(const char *argument);

#endif
