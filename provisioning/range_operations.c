/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Operations on ranges. */
#include <errno.h>
#include <stdio.h>

#include "range.h"
#include "request.h"
#include "service.h"
#include "set_store.h"

static int range_read(struct call *call, struct range *range)
{
	range->first = request_number(call->arguments[0]);
	range->last = request_number(call->arguments[1]);
	const char *reason = range_fault_text(range->first, range->last);
	return reason ? fault_set(&call->fault, FAULT_BAD_VALUE, "last", "%s", reason) : 0;
}

static int account_name(struct call *call, int64_t account, char *name, size_t size)
{
	sqlite3_stmt *statement;
	int rc = store_select(call->store, &statement, "SELECT name FROM account WHERE id = ?", "i", account);

	if (rc == 0)
		rc = store_step(call->store, &statement);
	if (rc < 1)
		return rc ? rc : -ENOENT;
	snprintf(name, size, "%s", store_text(statement, 0));
	sqlite3_finalize(statement);
	return 0;
}

/* The list is sorted, so either of the two may be the new one, which has line 1. */
static int conflict_report(void *context, const struct range *range, const struct range *other, const char *reason)
{
	struct call *call = context;
	const struct range *stored = range->line ? other : range;
	char text[RANGE_TEXT_SIZE], account[FIELD_NAME_MAX + 1] = "";
	int rc = account_name(call, stored->account, account, sizeof(account));

	range_format(stored->first, stored->last, text);
	return rc ? rc : fault_set(&call->fault, FAULT_CONFLICT, "first", "%s %s of %s", reason, text, account);
}

static int conflict_find(struct call *call, const struct range *wanted)
{
	struct ranges ranges = {0};
	int rc = ranges_load(call->store, wanted->first, wanted->last, &ranges);

	if (rc == 0)
		rc = ranges_add(&ranges, wanted);
	if (rc == 0) {
		ranges_sort(&ranges);
		rc = ranges_check(&ranges, conflict_report, call);
	}
	ranges_finish(&ranges);
	return rc;
}

static void range_show(struct json_object *result, uint64_t first, uint64_t last)
{
	char text[NUMBER_TEXT_SIZE];

	number_format(first, text);
	json_object_object_add(result, "telephoneNumber", json_object_new_string(text));
	number_format(last, text);
	json_object_object_add(result, "telephoneNumberLast", json_object_new_string(text));
}

static int range_set(struct call *call)
{
	const char *account = call->arguments[2], *header = call->arguments[4] ? call->arguments[4] : "";
	const struct service *service = service_by_name(span_of(call->arguments[3]));
	struct range range = {.line = 1};
	int64_t set = 0;
	int rc = range_read(call, &range);

	if (rc == 0 && *header && !service->custom_header)
		rc = fault_set(&call->fault, FAULT_BAD_VALUE, "header", "%s carries no custom header", service->name);
	if (rc == 0)
		rc = request_account(call, account, &range.account);
	if (rc == 0)
		rc = conflict_find(call, &range);
	if (rc == 0)
		rc = set_store_intern(call->store, account, service->id, header, &set);
	if (rc == 0)
		rc = store_run(call->store,
			       "INSERT INTO number_range (first, last, attribute_set) VALUES (?, ?, ?)"
			       " ON CONFLICT (first, last) DO UPDATE SET attribute_set = excluded.attribute_set",
			       "iii", (int64_t)range.first, (int64_t)range.last, set);
	call->change = (struct publisher_change){.kind = CHANGE_RANGES};
	range_show(call->result, range.first, range.last);
	json_object_object_add(call->result, "accountName", json_object_new_string(account));
	json_object_object_add(call->result, "service", json_object_new_string(service->name));
	if (*header)
		json_object_object_add(call->result, "customSipHeader", json_object_new_string(header));
	return rc;
}

static int range_delete(struct call *call)
{
	struct range range = {0};
	char text[RANGE_TEXT_SIZE];
	int rc = range_read(call, &range);

	if (rc)
		return rc;
	call->change = (struct publisher_change){.kind = CHANGE_RANGES};
	range_show(call->result, range.first, range.last);
	rc = store_run(call->store, "DELETE FROM number_range WHERE first = ? AND last = ?", "ii", (int64_t)range.first,
		       (int64_t)range.last);
	if (rc || sqlite3_changes(call->store->db))
		return rc;
	range_format(range.first, range.last, text);
	return fault_set(&call->fault, FAULT_NOT_FOUND, "first", "there is no range %s", text);
}

static struct json_object *range_item(sqlite3_stmt *statement)
{
	struct json_object *item = json_object_new_object();
	const struct service *service = service_by_id((uint16_t)sqlite3_column_int(statement, 3));

	range_show(item, (uint64_t)sqlite3_column_int64(statement, 0), (uint64_t)sqlite3_column_int64(statement, 1));
	json_object_object_add(item, "accountName", json_object_new_string(store_text(statement, 2)));
	json_object_object_add(item, "service", json_object_new_string(service ? service->name : ""));
	if (*store_text(statement, 4))
		json_object_object_add(item, "customSipHeader", json_object_new_string(store_text(statement, 4)));
	return item;
}

static struct json_object *range_next(struct json_object *item)
{
	struct json_object *first = NULL, *last = NULL;
	char text[RANGE_TEXT_SIZE];

	json_object_object_get_ex(item, "telephoneNumber", &first);
	json_object_object_get_ex(item, "telephoneNumberLast", &last);
	snprintf(text, sizeof(text), "%s-%s", json_object_get_string(first), json_object_get_string(last));
	return json_object_new_string(text);
}

static int range_list(struct call *call)
{
	const char *account = call->arguments[0] ? call->arguments[0] : "";
	unsigned limit = operation_limit(call->arguments[1]);
	uint64_t first = 0, last = 0;
	sqlite3_stmt *statement;
	int64_t unused;

	if (strcmp(account, "-") == 0)
		account = "";
	int rc = *account ? request_account(call, account, &unused) : 0;
	if (rc)
		return rc;
	if (call->arguments[2])
		operation_range(call->arguments[2], &first, &last);
	/* CROSS JOIN and the index keep the order, so a page reads no more than it shows. */
	rc = store_select(call->store, &statement,
			  "SELECT r.first, r.last, s.account, s.service, s.header FROM number_range r"
			  " CROSS JOIN attribute_set s ON s.id = r.attribute_set"
			  " WHERE r.first >= ?1 AND (r.first > ?1 OR r.last < ?2) AND (?3 = '' OR s.account = ?3)"
			  " ORDER BY r.first, r.last DESC LIMIT ?4",
			  "iiti", (int64_t)first, (int64_t)last, account, (int64_t)limit + 1);
	return rc ? rc : request_page(call, statement, limit, range_next, range_item);
}

const struct call_handler range_handlers[] = {{.name = "range_set", .run = range_set},
					      {.name = "range_delete", .run = range_delete},
					      {.name = "range_list", .run = range_list},
					      {0}};
