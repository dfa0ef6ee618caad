/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Requests: from the line to the committed, published and acknowledged change. */
#include "request.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "field.h"
#include "job.h"
#include "number.h"
#include "set_store.h"
#include "topology_document.h"

enum { VIA_MAX = 32 };

int64_t request_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- answers --- */

static char *answer_text(struct json_object *answer)
{
	const char *text =
		json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	char *copy = text ? strdup(text) : NULL;

	json_object_put(answer);
	return copy;
}

static char *answer_fault(const struct fault *fault)
{
	struct json_object *answer = json_object_new_object(), *error = json_object_new_object();

	json_object_object_add(error, "field", json_object_new_string(fault->field));
	json_object_object_add(error, "reason", json_object_new_string(fault->reason));
	if (fault->retry_after)
		json_object_object_add(error, "retryAfter", json_object_new_int(fault->retry_after));
	json_object_object_add(answer, "code", json_object_new_int(fault->code));
	json_object_object_add(answer, "error", error);
	return answer_text(answer);
}

char *request_refuse(int code, const char *field, const char *reason)
{
	struct fault fault = {0};

	fault_set(&fault, code, field, "%s", reason);
	return answer_fault(&fault);
}

static char *answer_result(struct json_object *result)
{
	struct json_object *answer = json_object_new_object();

	json_object_object_add(answer, "code", json_object_new_int(200));
	json_object_object_add(answer, "result", json_object_get(result));
	return answer_text(answer);
}

/* --- reading a request --- */

/* Text of a JSON string that can be a C string. */
static int text_read(struct json_object *value, const char *field, const char **text, struct fault *fault)
{
	if (!json_object_is_type(value, json_type_string))
		return fault_set(fault, FAULT_BAD_VALUE, field, "must be text, in quotes");
	*text = json_object_get_string(value);
	if (strlen(*text) != (size_t)json_object_get_string_len(value))
		return fault_set(fault, FAULT_BAD_VALUE, field, "holds a NUL character");
	return 0;
}

static int optional_read(struct json_object *request, const char *key, const char **text, struct fault *fault)
{
	struct json_object *value;

	return json_object_object_get_ex(request, key, &value) ? text_read(value, key, text, fault) : 0;
}

static int operation_read(struct call *call, struct json_object *request)
{
	const char *name = NULL;
	char quoted[48];
	int rc = optional_read(request, "operation", &name, &call->fault);

	if (rc)
		return rc;
	if (!name)
		return fault_set(&call->fault, FAULT_BAD_VALUE, "operation", "is missing");
	call->operation = operation_find(name);
	if (!call->operation)
		return fault_set(&call->fault, FAULT_NOT_FOUND, "operation", "there is no operation '%s'",
				 fault_quote(name, quoted, sizeof(quoted)));
	return 0;
}

static const char *argument_name(const struct operation *operation, size_t index, char *text, size_t size)
{
	if (index < operation_argument_count(operation))
		return operation->arguments[index].name;
	snprintf(text, size, "argument %zu", index + 1);
	return text;
}

/* One more than the table has room for is read, so that the check can name the one that is too much. */
static int arguments_read(struct call *call, struct json_object *request)
{
	const char *texts[OPERATION_ARGUMENTS_MAX + 1] = {0};
	struct json_object *list = NULL;
	char name[32];
	size_t count = 0;

	if (json_object_object_get_ex(request, "arguments", &list) && !json_object_is_type(list, json_type_array))
		return fault_set(&call->fault, FAULT_BAD_VALUE, "arguments", "must be a list of texts");
	for (; list && count < json_object_array_length(list) && count <= OPERATION_ARGUMENTS_MAX; count++) {
		int rc = text_read(json_object_array_get_idx(list, count),
				   argument_name(call->operation, count, name, sizeof(name)), &texts[count],
				   &call->fault);
		if (rc)
			return rc;
	}
	int rc = operation_check(call->operation, texts, count, &call->fault);
	if (rc)
		return rc;
	memcpy(call->arguments, texts, count * sizeof(*texts));
	call->argument_count = count;
	return 0;
}

static int keys_check(struct json_object *request, struct fault *fault)
{
	static const char *const known[] = {"operation", "arguments", "document", "via"};
	char quoted[64];

	json_object_object_foreach(request, key, value)
	{
		size_t i = 0;
		(void)value;
		while (i < sizeof(known) / sizeof(*known) && strcmp(known[i], key) != 0)
			i++;
		if (i == sizeof(known) / sizeof(*known))
			return fault_set(fault, FAULT_BAD_VALUE, fault_quote(key, quoted, sizeof(quoted)),
					 "is no key of a request");
	}
	return 0;
}

static int via_read(struct call *call, struct json_object *request)
{
	int rc = optional_read(request, "via", &call->via, &call->fault);

	if (rc == 0 && (strlen(call->via) > VIA_MAX || field_name_fault(span_of(call->via))))
		rc = fault_set(&call->fault, FAULT_BAD_VALUE, "via", "must have 1-32 of A-Z a-z 0-9 _ -");
	return rc;
}

static int call_read(struct call *call, struct json_object *request)
{
	if (!json_object_is_type(request, json_type_object))
		return fault_set(&call->fault, FAULT_BAD_VALUE, "request", "must be an object");
	int rc = keys_check(request, &call->fault);
	if (rc == 0)
		rc = operation_read(call, request);
	if (rc == 0)
		rc = arguments_read(call, request);
	if (rc == 0)
		rc = via_read(call, request);
	if (rc == 0)
		rc = optional_read(request, "document", &call->document, &call->fault);
	if (rc == 0 && call->document && !(call->operation->flags & OPERATION_READS_FILE))
		rc = fault_set(&call->fault, FAULT_BAD_VALUE, "document", "%s takes none", call->operation->name);
	call->document_length = call->document ? strlen(call->document) : 0;
	return rc;
}

/* --- files named to an RPC: opened by the worker's user --- */

static const char *own_user(char *text, size_t size)
{
	const struct passwd *entry = getpwuid(geteuid());

	if (entry)
		return entry->pw_name;
	snprintf(text, size, "uid %ld", (long)geteuid());
	return text;
}

static int file_fault(struct call *call, const char *reason)
{
	char user[32];

	return fault_set(&call->fault, FAULT_BAD_VALUE, "file", "the worker's user %s cannot read it: %s",
			 own_user(user, sizeof(user)), reason);
}

int request_file_check(struct call *call, const struct stat *file)
{
	return store_file_is(call->store->path, file)
		       ? fault_set(&call->fault, FAULT_BAD_VALUE, "file", "is a file of the store itself")
		       : 0;
}

/* O_NONBLOCK: a named pipe must not hold the worker. */
static int file_open(struct call *call, int flags, int *file)
{
	struct stat status;
	int fd = open(call->arguments[0], flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return file_fault(call, strerror(errno));
	int rc = fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) ? file_fault(call, "is not a regular file")
								     : request_file_check(call, &status);
	if (rc && (flags & O_PATH)) /* has no locks to take away */
		close(fd);
	else if (rc)
		store_foreign_close(call->store, fd);
	else
		*file = fd;
	return rc;
}

/* What the name stands for is looked at first by O_PATH, which opens nothing: see store_file_is(). */
int request_open(struct call *call, int *file)
{
	int looked_at = -1;

	if (call->arguments[0][0] != '/')
		return fault_set(&call->fault, FAULT_BAD_VALUE, "file",
				 "must start with '/': the worker has a folder of its own");
	int rc = file_open(call, O_PATH, &looked_at);
	if (rc)
		return rc;
	close(looked_at);
	return file_open(call, O_RDONLY, file);
}

static int file_read(struct call *call, char **text)
{
	struct stat status = {0};
	int fd = -1, rc = request_open(call, &fd);

	if (rc)
		return rc;
	const char *reason = fstat(fd, &status) != 0               ? strerror(errno)
			     : status.st_size > OPERATION_FILE_MAX ? "is larger than 30 MB"
								   : NULL;
	char *read_text = reason ? NULL : malloc((size_t)status.st_size + 1);
	size_t length = 0;
	while (read_text && length < (size_t)status.st_size) {
		ssize_t n = read(fd, read_text + length, (size_t)status.st_size - length);
		if (n <= 0)
			break;
		length += (size_t)n;
	}
	store_foreign_close(call->store, fd);
	if (!read_text)
		return file_fault(call, reason ? reason : strerror(ENOMEM));
	read_text[length] = '\0';
	*text = read_text;
	call->document = read_text;
	call->document_length = length;
	return 0;
}

/* --- for the handlers --- */

uint64_t request_number(const char *text)
{
	uint64_t e164 = 0;

	number_parse(span_of(text), &e164);
	return e164;
}

int request_account(struct call *call, const char *name, int64_t *account)
{
	int rc = set_store_account(call->store, name, account);

	return rc == -ENOENT ? fault_set(&call->fault, FAULT_NOT_FOUND, "account", "there is no account %s", name) : rc;
}

/* That there is one row more is all that "next" needs to know. */
int request_page(struct call *call, sqlite3_stmt *statement, unsigned limit,
		 struct json_object *(*next)(struct json_object *item),
		 struct json_object *(*item)(sqlite3_stmt *statement))
{
	struct json_object *items = json_object_new_array();
	int rc;

	json_object_object_add(call->result, "items", items);
	while ((rc = store_step(call->store, &statement)) > 0) {
		size_t count = json_object_array_length(items);
		if (count == limit) {
			json_object_object_add(call->result, "next", next(json_object_array_get_idx(items, count - 1)));
			sqlite3_finalize(statement);
			return 0;
		}
		json_object_array_add(items, item(statement));
	}
	return rc;
}

/* --- running --- */

static int handler_run(struct call *call)
{
	const struct call_handler *const tables[] = {job_handlers, number_handlers, range_handlers, topology_handlers};

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (const struct call_handler *handler = tables[i]; handler->name; handler++)
			if (strcmp(handler->name, call->operation->name) == 0)
				return handler->run(call);
	return fault_set(&call->fault, FAULT_NOT_FOUND, "operation", "%s is not built in", call->operation->name);
}

static int call_commit(struct call *call)
{
	struct store *store = call->store;

	if (call->discard) {
		store_rollback(store);
		return 0;
	}
	if ((call->operation->flags & OPERATION_NODE_LOCAL) || !store_changed(store))
		return store_commit(store, NULL);
	struct json_object *arguments = json_object_new_array();
	for (size_t i = 0; i < call->argument_count; i++)
		json_object_array_add(arguments, json_object_new_string(call->arguments[i]));
	struct store_change change = {.user = call->user,
				      .via = call->via,
				      .operation = call->operation->name,
				      .arguments = json_object_to_json_string_ext(
					      arguments, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
				      .document = call->logged_document};
	int rc = store_commit(store, &change);
	json_object_put(arguments);
	return rc;
}

/* Committed is committed: a region that cannot take it is told apart from a change that was refused. */
static int call_publish(struct call *call)
{
	struct provisioner *provisioner = call->provisioner;

	if (!provisioner->publisher || call->discard)
		return 0;
	if (call->change.kind == CHANGE_SETS_DROPPED)
		provisioner->snapshot_revision = 0; /* cannot be put on top of it */
	int rc = publisher_apply(provisioner->publisher, call->store, &call->change);
	if (rc == 0)
		return 0;
	return fault_set(
		&call->fault, FAULT_UNAVAILABLE, "region", "stored as revision %llu, but calls do not see it yet: %s",
		(unsigned long long)call->store->revision, rc == -ENOSPC ? "the shared region is full" : strerror(-rc));
}

static int call_write(struct call *call)
{
	int rc = store_begin(call->store);

	if (rc)
		return rc;
	if (call->store->replica && !(call->operation->flags & OPERATION_NODE_LOCAL))
		rc = fault_set(&call->fault, FAULT_CONFLICT, "role", "this store is a replica: change the primary");
	if (rc == 0)
		rc = handler_run(call);
	if (rc) {
		store_rollback(call->store);
		return rc;
	}
	rc = call_commit(call);
	if (rc == 0)
		rc = call_publish(call);
	if (rc == 0 && !(call->operation->flags & OPERATION_NODE_LOCAL))
		json_object_object_add(call->result, "revision", json_object_new_int64((int64_t)call->store->revision));
	if (rc == 0 && !call->discard && call->provisioner->worker_awaited)
		json_object_object_add(call->result, "inForce", json_object_new_boolean(false));
	return rc;
}

static int call_run(struct call *call)
{
	char *file = NULL;
	struct stat passed;
	int rc = call->file >= 0 && fstat(call->file, &passed) == 0 ? request_file_check(call, &passed) : 0;

	if (rc == 0 && (call->operation->flags & OPERATION_WRITES))
		rc = jobs_check_change(call->provisioner->jobs, &call->fault);
	if (rc == 0 && (call->operation->flags & OPERATION_READS_FILE) && !call->document)
		rc = file_read(call, &file);
	if (rc == 0)
		rc = call->operation->flags & OPERATION_WRITES ? call_write(call) : handler_run(call);
	if (rc && !call->fault.code)
		fault_set(&call->fault, FAULT_UNAVAILABLE, "store", "%s",
			  call->store->error[0] ? call->store->error : strerror(-rc));
	free(file);
	return rc;
}

static char *request_run(struct provisioner *provisioner, struct json_object *request, const char *user, int *file)
{
	struct call call = {.provisioner = provisioner,
			    .store = provisioner->store,
			    .user = user,
			    .via = "socket",
			    .file = *file,
			    .result = json_object_new_object()};
	call.store->error[0] = '\0';
	int rc = call_read(&call, request);
	if (rc == 0)
		rc = call_run(&call);
	char *answer = rc ? answer_fault(&call.fault) : answer_result(call.result);
	json_object_put(call.result);
	publisher_change_finish(&call.change);
	free(call.logged_document);
	*file = call.file;
	return answer;
}

char *request_answer(struct provisioner *provisioner, const char *line, size_t length, const char *user, int file)
{
	char reason[160];
	struct json_object *request = document_parse(line, length, reason, sizeof(reason));

	jobs_poll(provisioner->jobs);
	char *answer = request ? request_run(provisioner, request, user, &file)
			       : request_refuse(FAULT_BAD_VALUE, "request", reason);
	json_object_put(request);
	if (file >= 0)
		store_foreign_close(provisioner->store, file);
	return answer;
}
