/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Operations on accounts and numbers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "number.h"
#include "request.h"
#include "service.h"
#include "set_store.h"

static void text_add(struct call *call, const char *key, const char *text)
{
	json_object_object_add(call->result, key, json_object_new_string(text));
}

/* --- accounts --- */

static int number_count(struct call *call, int64_t account, int64_t *count)
{
	return store_integer(call->store, count, "SELECT count(*) FROM number WHERE account = ?", "i", account);
}

static int range_count(struct call *call, const char *account, int64_t *count)
{
	return store_integer(call->store, count,
			     "SELECT count(*) FROM attribute_set s JOIN number_range r ON r.attribute_set = s.id"
			     " WHERE s.account = ?",
			     "t", account);
}

static int account_set(struct call *call)
{
	text_add(call, "accountName", call->arguments[0]);
	return store_run(call->store, "INSERT INTO account (name) VALUES (?) ON CONFLICT DO NOTHING", "t",
			 call->arguments[0]);
}

static int account_get(struct call *call)
{
	int64_t account = 0, numbers = 0, ranges = 0;
	int rc = request_account(call, call->arguments[0], &account);

	if (rc == 0)
		rc = number_count(call, account, &numbers);
	if (rc == 0)
		rc = range_count(call, call->arguments[0], &ranges);
	text_add(call, "accountName", call->arguments[0]);
	json_object_object_add(call->result, "numberCount", json_object_new_int64(numbers));
	json_object_object_add(call->result, "rangeCount", json_object_new_int64(ranges));
	return rc;
}

/* The ids of an account's sets, so that the region forgets them too. */
static int sets_drop(struct call *call, const char *account)
{
	sqlite3_stmt *statement;
	int64_t count = 0;
	int rc = store_integer(call->store, &count, "SELECT count(*) FROM attribute_set WHERE account = ?", "t",
			       account);

	if (rc)
		return rc;
	call->change.kind = CHANGE_SETS_DROPPED;
	call->change.dropped = calloc((size_t)count + 1, sizeof(*call->change.dropped));
	if (!call->change.dropped)
		return -ENOMEM;
	rc = store_select(call->store, &statement, "SELECT id FROM attribute_set WHERE account = ?", "t", account);
	while (rc == 0 && (rc = store_step(call->store, &statement)) > 0) {
		call->change.dropped[call->change.dropped_count++] = (uint32_t)sqlite3_column_int64(statement, 0);
		rc = 0;
	}
	return rc ? rc : store_run(call->store, "DELETE FROM attribute_set WHERE account = ?", "t", account);
}

static int account_delete(struct call *call)
{
	const char *account = call->arguments[0];
	int64_t id = 0, count = 0;
	int rc = request_account(call, account, &id);

	if (rc == 0)
		rc = number_count(call, id, &count);
	if (rc == 0 && count > 0)
		rc = fault_set(&call->fault, FAULT_CONFLICT, "account", "%s still has %lld number%s", account,
			       (long long)count, count == 1 ? "" : "s");
	if (rc == 0)
		rc = range_count(call, account, &count);
	if (rc == 0 && count > 0)
		rc = fault_set(&call->fault, FAULT_CONFLICT, "account", "%s still has %lld range%s", account,
			       (long long)count, count == 1 ? "" : "s");
	if (rc == 0)
		rc = sets_drop(call, account);
	if (rc == 0)
		rc = store_run(call->store, "DELETE FROM account WHERE name = ?", "t", account);
	text_add(call, "accountName", account);
	return rc;
}

static struct json_object *account_item(sqlite3_stmt *statement)
{
	struct json_object *item = json_object_new_object();

	json_object_object_add(item, "accountName", json_object_new_string(store_text(statement, 0)));
	return item;
}

static struct json_object *account_next(struct json_object *item)
{
	struct json_object *name = NULL;

	json_object_object_get_ex(item, "accountName", &name);
	return json_object_get(name);
}

static int account_list(struct call *call)
{
	unsigned limit = operation_limit(call->arguments[0]);
	sqlite3_stmt *statement;
	int rc = store_select(call->store, &statement, "SELECT name FROM account WHERE name > ? ORDER BY name LIMIT ?",
			      "ti", call->arguments[1] ? call->arguments[1] : "", (int64_t)limit + 1);

	return rc ? rc : request_page(call, statement, limit, account_next, account_item);
}

/* --- numbers --- */

static struct json_object *number_item(sqlite3_stmt *statement)
{
	struct json_object *item = json_object_new_object();
	const struct service *service = service_by_id((uint16_t)sqlite3_column_int(statement, 2));
	char text[NUMBER_TEXT_SIZE];

	number_format((uint64_t)sqlite3_column_int64(statement, 0), text);
	json_object_object_add(item, "telephoneNumber", json_object_new_string(text));
	json_object_object_add(item, "accountName", json_object_new_string(store_text(statement, 1)));
	json_object_object_add(item, "service", json_object_new_string(service ? service->name : ""));
	if (*store_text(statement, 3))
		json_object_object_add(item, "customSipHeader", json_object_new_string(store_text(statement, 3)));
	return item;
}

static struct json_object *number_next(struct json_object *item)
{
	struct json_object *number = NULL;

	json_object_object_get_ex(item, "telephoneNumber", &number);
	return json_object_get(number);
}

static int number_set(struct call *call)
{
	const char *account = call->arguments[1], *header = call->arguments[3] ? call->arguments[3] : "";
	const struct service *service = service_by_name(span_of(call->arguments[2]));
	uint64_t e164 = request_number(call->arguments[0]);
	int64_t set = 0, id = 0;

	if (*header && !service->custom_header)
		return fault_set(&call->fault, FAULT_BAD_VALUE, "header", "%s carries no custom header", service->name);
	int rc = request_account(call, account, &id);
	if (rc == 0)
		rc = set_store_intern(call->store, account, service->id, header, &set);
	if (rc == 0)
		rc = store_run(call->store,
			       "INSERT INTO number (e164, attribute_set, account) VALUES (?, ?, ?)"
			       " ON CONFLICT (e164) DO UPDATE SET attribute_set = excluded.attribute_set,"
			       " account = excluded.account",
			       "iii", (int64_t)e164, set, id);
	call->change = (struct publisher_change){.kind = CHANGE_NUMBER_SET,
						 .e164 = e164,
						 .set = (uint32_t)set,
						 .service = service->id,
						 .account = account,
						 .header = header};
	text_add(call, "telephoneNumber", call->arguments[0]);
	text_add(call, "accountName", account);
	text_add(call, "service", service->name);
	if (*header)
		text_add(call, "customSipHeader", header);
	return rc;
}

static int number_missing(struct call *call)
{
	return fault_set(&call->fault, FAULT_NOT_FOUND, "number", "%s is not provisioned", call->arguments[0]);
}

/* The narrowest range around a number: backwards from it, the first that reaches it. */
static int number_range_get(struct call *call, uint64_t e164)
{
	sqlite3_stmt *statement;
	char text[NUMBER_TEXT_SIZE];
	int rc = store_select(call->store, &statement,
			      "SELECT ?1, s.account, s.service, s.header, r.first, r.last FROM number_range r"
			      " CROSS JOIN attribute_set s ON s.id = r.attribute_set"
			      " WHERE r.first <= ?1 AND r.last >= ?1 ORDER BY r.first DESC, r.last LIMIT 1",
			      "i", (int64_t)e164);

	if (rc == 0)
		rc = store_step(call->store, &statement);
	if (rc < 1)
		return rc ? rc : number_missing(call);
	json_object_put(call->result);
	call->result = number_item(statement);
	number_format((uint64_t)sqlite3_column_int64(statement, 4), text);
	text_add(call, "rangeFirst", text);
	number_format((uint64_t)sqlite3_column_int64(statement, 5), text);
	text_add(call, "rangeLast", text);
	sqlite3_finalize(statement);
	return 0;
}

static int number_get(struct call *call)
{
	uint64_t e164 = request_number(call->arguments[0]);
	sqlite3_stmt *statement;
	int rc = store_select(call->store, &statement,
			      "SELECT n.e164, s.account, s.service, s.header FROM number n"
			      " JOIN attribute_set s ON s.id = n.attribute_set WHERE n.e164 = ?",
			      "i", (int64_t)e164);

	if (rc == 0)
		rc = store_step(call->store, &statement);
	if (rc < 1)
		return rc ? rc : number_range_get(call, e164);
	json_object_put(call->result);
	call->result = number_item(statement);
	sqlite3_finalize(statement);
	return 0;
}

static int number_delete(struct call *call)
{
	uint64_t e164 = request_number(call->arguments[0]);
	int64_t found;
	int rc = store_integer(call->store, &found, "SELECT 1 FROM number WHERE e164 = ?", "i", (int64_t)e164);

	if (rc)
		return rc == -ENOENT ? number_missing(call) : rc;
	call->change = (struct publisher_change){.kind = CHANGE_NUMBER_DELETE, .e164 = e164};
	text_add(call, "telephoneNumber", call->arguments[0]);
	return store_run(call->store, "DELETE FROM number WHERE e164 = ?", "i", (int64_t)e164);
}

static int number_list(struct call *call)
{
	const char *account = call->arguments[0] ? call->arguments[0] : "";
	unsigned limit = operation_limit(call->arguments[1]);
	int64_t after = call->arguments[2] ? (int64_t)request_number(call->arguments[2]) : 0;
	sqlite3_stmt *statement;
	int64_t id;
	int rc;

	if (!*account || strcmp(account, "-") == 0) {
		rc = store_select(call->store, &statement,
				  "SELECT n.e164, s.account, s.service, s.header FROM number n"
				  " CROSS JOIN attribute_set s ON s.id = n.attribute_set WHERE n.e164 > ?"
				  " ORDER BY n.e164 LIMIT ?",
				  "ii", after, (int64_t)limit + 1);
	} else {
		rc = request_account(call, account, &id);
		if (rc)
			return rc;
		rc = store_select(call->store, &statement,
				  "SELECT n.e164, s.account, s.service, s.header FROM number n"
				  " CROSS JOIN attribute_set s ON s.id = n.attribute_set"
				  " WHERE n.account = ? AND n.e164 > ? ORDER BY n.e164 LIMIT ?",
				  "iii", id, after, (int64_t)limit + 1);
	}
	return rc ? rc : request_page(call, statement, limit, number_next, number_item);
}

const struct call_handler number_handlers[] = {{.name = "account_set", .run = account_set},
					       {.name = "account_get", .run = account_get},
					       {.name = "account_delete", .run = account_delete},
					       {.name = "account_list", .run = account_list},
					       {.name = "number_set", .run = number_set},
					       {.name = "number_get", .run = number_get},
					       {.name = "number_delete", .run = number_delete},
					       {.name = "number_list", .run = number_list},
					       {0}};
