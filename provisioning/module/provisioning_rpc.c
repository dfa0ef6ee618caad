/* SPDX-License-Identifier: GPL-2.0-or-later */
/** RPC arguments to a request line for the worker, and its answer back into RPC structures. */
#include "provisioning_rpc.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include <core/pt.h>
#include <core/rpc_lookup.h>
#include <core/sr_module.h>

#include "client.h"
#include "operation.h"

enum {
	CALL_TIMEOUT_MS = 10000,
	/* rows of a list: as many of the longest as fit kamcmd (128 KB) and a jsonrpcs datagram (64 KB) */
	PAGE_MAX = 150,
};

static const char *worker_socket;

/* Only processes whose one duty is RPC may wait; a timer process or a SIP worker must not. */
bool provisioning_in_sip_worker(void)
{
	int rank = pt[process_no].rank;

	return rank != PROC_RPC && rank != PROC_UNIXSOCK;
}

/* ctl leaves a value that did not fit in place, so it can be asked again what it is; jsonrpcs takes a number as any. */
static int scan_number(rpc_t *rpc, void *context, int *whole)
{
	double real;

	*whole = -1;
	if (rpc->scan(context, "*d", whole) > 0)
		return 1;
	return rpc->scan(context, "*f", &real) > 0;
}

/* Returns 1, 0 if it is no text or there is none, -1 with the fault. ctl ends a text with a NUL of its own. */
static int scan_text(rpc_t *rpc, void *context, const char *field, const char **text)
{
	str value = {};

	if (rpc->scan(context, "*S", &value) <= 0)
		return 0;
	if (value.len < 0 || memchr(value.s, '\0', (size_t)value.len + 1) != value.s + value.len) {
		rpc->fault(context, 400, "%s: holds a NUL character", field);
		return -1;
	}
	*text = value.s;
	return 1;
}

int provisioning_scan(rpc_t *rpc, void *context, const char *field, const char **text)
{
	int whole, rc = scan_text(rpc, context, field, text);

	if (rc != 0)
		return rc;
	if (!scan_number(rpc, context, &whole))
		return 0;
	rpc->fault(context, 400, "%s: arrived as a number, not as text: write s:+15551230001", field);
	return -1;
}

/* For a count a whole number is as good as its text. */
static int scan_limit(rpc_t *rpc, void *context, char number[12], const char **text)
{
	int whole, rc = scan_text(rpc, context, "limit", text);

	if (rc != 0)
		return rc;
	*text = number;
	if (!scan_number(rpc, context, &whole))
		return 0;
	snprintf(number, 12, "%d", whole);
	return 1;
}

int provisioning_scan_limit(rpc_t *rpc, void *context, unsigned max, unsigned *limit)
{
	const char *text = "";
	char number[12];
	int rc = scan_limit(rpc, context, number, &text);

	if (rc <= 0 || text[0] == '\0')
		return rc < 0 ? -1 : 0;
	size_t digits = strspn(text, "0123456789");
	unsigned long value = strtoul(text, NULL, 10);
	if (text[digits] == '\0' && digits <= 9 && text[0] != '0' && value <= max) {
		*limit = (unsigned)value;
		return 1;
	}
	rpc->fault(context, 400, "limit: must be a whole number from 1 to %u", max);
	return -1;
}

int provisioning_scan_end(rpc_t *rpc, void *context)
{
	char *value = NULL;
	int whole;

	if (rpc->scan(context, "*s", &value) <= 0 && !scan_number(rpc, context, &whole))
		return 0;
	rpc->fault(context, 400, "an argument too much");
	return -1;
}

static int scan_argument(rpc_t *rpc, void *context, const struct argument *argument, char number[12], const char **text)
{
	static const char *const counts[] = {"limit", "job", "count"};
	size_t i = 0;

	while (argument->name && i < 3 && strcmp(argument->kind->name, counts[i]) != 0)
		i++;
	if (!argument->name || i == 3)
		return provisioning_scan(rpc, context, argument->name ? argument->name : "last argument", text);
	int rc = scan_limit(rpc, context, number, text);
	if (rc > 0 && i == 0 && !argument->kind->fault(span_of(*text)) && operation_limit(*text) > PAGE_MAX) {
		snprintf(number, 12, "%d", PAGE_MAX);
		*text = number;
	}
	return rc;
}

static void fault_of_errno(rpc_t *rpc, void *context, int error)
{
	static const struct {
		int error, code;
		const char *reason;
	} faults[] = {{ETIMEDOUT, 504, "the worker did not answer in time: may still be applied"},
		      {ECONNRESET, 504, "the worker ended before it answered: may still be applied"},
		      {ENOENT, 503, "the worker is not running: nothing was changed"},
		      {ECONNREFUSED, 503, "the worker is not running: nothing was changed"},
		      {EAGAIN, 503, "the worker is busy: nothing was changed"},
		      {EACCES, 503, "the worker's socket is not open to Kamailio's user: nothing was changed"},
		      {ENAMETOOLONG, 503, "the path of the worker's socket is too long"},
		      {EINVAL, 400, "a line break in an argument"},
		      {ENOMEM, 503, "out of memory"},
		      {}};
	size_t i = 0;

	while (faults[i].reason && faults[i].error != error)
		i++;
	if (faults[i].reason)
		rpc->fault(context, faults[i].code, "%s", faults[i].reason);
	else
		rpc->fault(context, 503, "cannot reach the worker: %s", strerror(error));
}

static int call_via(const char *operation, const char *const *arguments, size_t count, char **response)
{
	char *request = client_request(operation, arguments, count, NULL, "rpc");

	if (!request)
		return -ENOMEM;
	int rc = client_call(worker_socket, request, CALL_TIMEOUT_MS, response);
	free(request);
	return rc;
}

int provisioning_call(const char *operation, const char *const *arguments, size_t count, char **response)
{
	return provisioning_in_sip_worker() ? -EAGAIN : call_via(operation, arguments, count, response);
}

/* --- JSON to RPC structures --- */

static int array_put(rpc_t *rpc, void *array, struct json_object *value);

/* binrpc knows 32-bit integers and doubles of three decimals only: larger numbers go as text. */
static int struct_put(rpc_t *rpc, void *handle, const char *name, struct json_object *value)
{
	char *key = (char *)name;
	void *inner = NULL;

	switch (json_object_get_type(value)) {
	case json_type_object:
		if (rpc->struct_add(handle, "{", key, &inner) < 0)
			return -1;
		json_object_object_foreach(value, member, content)
		{
			if (struct_put(rpc, inner, member, content) < 0)
				return -1;
		}
		return 0;
	case json_type_array:
		return rpc->struct_add(handle, "[", key, &inner) < 0 ? -1 : array_put(rpc, inner, value);
	case json_type_int:
		if (json_object_get_int64(value) == json_object_get_int(value))
			return rpc->struct_add(handle, "d", key, json_object_get_int(value));
		break;
	case json_type_boolean:
		return rpc->struct_add(handle, "b", key, json_object_get_boolean(value) ? 1 : 0);
	case json_type_null:
		return rpc->struct_add(handle, "s", key, "");
	default:
		break;
	}
	return rpc->struct_add(handle, "s", key, (char *)json_object_get_string(value));
}

static int element_put(rpc_t *rpc, void *array, struct json_object *value)
{
	void *inner = NULL;

	if (json_object_get_type(value) != json_type_object)
		return rpc->array_add(array, "s", (char *)json_object_get_string(value));
	if (rpc->array_add(array, "{", &inner) < 0)
		return -1;
	json_object_object_foreach(value, member, content)
	{
		if (struct_put(rpc, inner, member, content) < 0)
			return -1;
	}
	return 0;
}

static int array_put(rpc_t *rpc, void *array, struct json_object *value)
{
	for (size_t i = 0; i < json_object_array_length(value); i++)
		if (element_put(rpc, array, json_object_array_get_idx(value, i)) < 0)
			return -1;
	return 0;
}

static void result_send(rpc_t *rpc, void *context, struct json_object *result)
{
	void *handle = NULL;

	if (json_object_get_type(result) != json_type_object || rpc->add(context, "{", &handle) < 0)
		return;
	json_object_object_foreach(result, member, content)
	{
		if (struct_put(rpc, handle, member, content) < 0) {
			rpc->fault(context, 500,
				   "%s: too large for this door; ask for fewer rows or use the command trunkgate",
				   member);
			return;
		}
	}
}

static const char *json_text(struct json_object *object, const char *name)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(object, name, &value) ? json_object_get_string(value) : "";
}

static void response_send(rpc_t *rpc, void *context, const char *response)
{
	struct json_object *answer = json_tokener_parse(response), *code = NULL, *part = NULL;

	if (!answer || !json_object_object_get_ex(answer, "code", &code))
		rpc->fault(context, 500, "the worker's answer cannot be read");
	else if (json_object_get_int(code) == 200 && json_object_object_get_ex(answer, "result", &part))
		result_send(rpc, context, part);
	else if (json_object_object_get_ex(answer, "error", &part) && json_text(part, "field")[0])
		rpc->fault(context, json_object_get_int(code), "%s: %s", json_text(part, "field"),
			   json_text(part, "reason"));
	else if (json_object_get_int(code) != 200)
		rpc->fault(context, json_object_get_int(code), "%s", part ? json_text(part, "reason") : "refused");
	json_object_put(answer);
}

void provisioning_rpc(rpc_t *rpc, void *context, const char *operation, const char *const *arguments, size_t count)
{
	char *response = NULL;

	if (provisioning_in_sip_worker()) {
		rpc->fault(
			context, 503,
			"this process carries calls and must not wait: use kamcmd, jsonrpcs by socket, or trunkgate");
		return;
	}
	int rc = call_via(operation, arguments, count, &response);
	if (rc < 0)
		fault_of_errno(rpc, context, -rc);
	else
		response_send(rpc, context, response);
	free(response);
}

/* --- an RPC is not told its own name, so each row of the operation table has a function of its own --- */

static void operation_run(rpc_t *rpc, void *context, const struct operation *operation)
{
	const char *arguments[OPERATION_ARGUMENTS_MAX + 1];
	size_t known = operation_argument_count(operation), count = 0;
	struct fault fault;
	char numbers[OPERATION_ARGUMENTS_MAX + 1][12];

	/* one more than there may be, so that the check sees it; the table's last row has no name */
	for (; count <= known; count++) {
		int rc = scan_argument(rpc, context, &operation->arguments[count], numbers[count], &arguments[count]);
		if (rc < 0)
			return;
		if (rc == 0)
			break;
	}
	if (operation_check(operation, arguments, count, &fault) != 0)
		rpc->fault(context, fault.code, "%s: %s", fault.field, fault.reason);
	else
		provisioning_rpc(rpc, context, operation->name, arguments, count);
}

/* clang-format off */
#define SLOTS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) \
	X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
/* clang-format on */
#define SLOT_FUNCTION(number)                                                                                          \
	static void slot_##number(rpc_t *rpc, void *context)                                                           \
	{                                                                                                              \
		operation_run(rpc, context, &operations[number]);                                                      \
	}
#define SLOT_ENTRY(number) slot_##number,
SLOTS(SLOT_FUNCTION)
static const rpc_function_t slots[] = {SLOTS(SLOT_ENTRY)};
enum { SLOT_COUNT = sizeof(slots) / sizeof(slots[0]) };

/* Kamailio keeps pointers to all of this. */
static struct {
	rpc_export_t exports[SLOT_COUNT + 1];
	char names[SLOT_COUNT][64], usages[SLOT_COUNT][160];
	const char *documents[SLOT_COUNT][3];
} table;

int provisioning_rpc_init(const char *socket)
{
	size_t i;

	worker_socket = socket;
	for (i = 0; operations[i].name; i++) {
		if (i == SLOT_COUNT) {
			LM_ERR("more operations than RPC slots\n");
			return -1;
		}
		snprintf(table.names[i], sizeof(table.names[i]), "provisioning.%s", operations[i].name);
		operation_usage(&operations[i], table.usages[i], sizeof(table.usages[i]));
		table.documents[i][0] = operations[i].help;
		table.documents[i][1] = table.usages[i];
		table.exports[i] =
			(rpc_export_t){.name = table.names[i], .function = slots[i], .doc_str = table.documents[i]};
	}
	return rpc_register_array(table.exports) != 0 ? -1 : 0;
}
