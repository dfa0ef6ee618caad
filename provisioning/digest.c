/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The digest of a store. */
#include "digest.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

_Static_assert(DIGEST_KEY_SIZE == crypto_shorthash_siphashx24_KEYBYTES, "a set is a key");
_Static_assert(STORE_DIGEST_SIZE == crypto_shorthash_siphashx24_BYTES, "a row is a hash");

enum { NUMBERS = 1, COLUMNS_SIZE = 512, SELECT_SIZE = 1024 };

/*
 * Rows of these tables are in the digest, but for a column that means nothing outside of this file. Those with a number
 * count by digest_set(), with the attributes of their set.
 */
static const struct {
	const char *name, *local;
	const char *first, *last; /* columns of numbers */
} digest_tables[] = {{.name = "account", .local = "id"},
		     [NUMBERS] = {.name = "number", .first = "e164"},
		     {.name = "number_range", .first = "first", .last = "last"},
		     {.name = "setting", .local = ""},
		     {.name = "peer_group", .local = ""},
		     {.name = "peer", .local = ""},
		     {.name = "peer_priority", .local = ""},
		     {.name = "peer_prefix", .local = ""},
		     {.name = "service", .local = ""}};
enum { DIGEST_TABLES = sizeof(digest_tables) / sizeof(*digest_tables) };

/* --- sums --- */

void digest_load(const unsigned char bytes[STORE_DIGEST_SIZE], uint64_t digest[2])
{
	digest[0] = digest[1] = 0;
	for (int i = 0; i < STORE_DIGEST_SIZE; i++)
		digest[i / 8] |= (uint64_t)bytes[i] << (i % 8 * 8);
}

static void digest_save(const uint64_t digest[2], unsigned char bytes[STORE_DIGEST_SIZE])
{
	for (int i = 0; i < STORE_DIGEST_SIZE; i++)
		bytes[i] = (unsigned char)(digest[i / 8] >> (i % 8 * 8));
}

void digest_sum(uint64_t digest[2], const uint64_t more[2])
{
	digest[0] += more[0];
	digest[1] += more[1] + (digest[0] < more[0]);
}

static void digest_count(uint64_t digest[2], int sign, const unsigned char bytes[STORE_DIGEST_SIZE])
{
	uint64_t row[2];

	digest_load(bytes, row);
	if (sign > 0) {
		digest_sum(digest, row);
		return;
	}
	uint64_t borrow = digest[0] < row[0];
	digest[0] -= row[0];
	digest[1] -= row[1] + borrow;
}

void store_digest_text(const uint64_t digest[2], char text[2 * STORE_DIGEST_SIZE + 1])
{
	unsigned char bytes[STORE_DIGEST_SIZE];

	digest_save(digest, bytes);
	sodium_bin2hex(text, 2 * STORE_DIGEST_SIZE + 1, bytes, sizeof(bytes));
}

/* --- rows --- */

static void number_save(uint64_t number, unsigned char bytes[8])
{
	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(number >> (8 * i));
}

static void hash_number(crypto_generichash_state *state, uint64_t number)
{
	unsigned char bytes[8];

	number_save(number, bytes);
	crypto_generichash_update(state, bytes, sizeof(bytes));
}

/* Type, length and bytes of each value, so that no two rows look alike. */
static void hash_value(crypto_generichash_state *state, sqlite3_value *value)
{
	int type = sqlite3_value_type(value);

	hash_number(state, (uint64_t)type);
	if (type == SQLITE_INTEGER) {
		hash_number(state, (uint64_t)sqlite3_value_int64(value));
		return;
	}
	const void *bytes = type == SQLITE_NULL ? NULL : sqlite3_value_blob(value);
	size_t length = bytes ? (size_t)sqlite3_value_bytes(value) : 0;
	hash_number(state, length);
	crypto_generichash_update(state, bytes, length);
}

static void hash_span(crypto_generichash_state *state, struct span text)
{
	hash_number(state, text.len);
	crypto_generichash_update(state, (const unsigned char *)text.ptr, text.len);
}

void digest_key(struct span account, uint16_t service, struct span header, uint8_t key[DIGEST_KEY_SIZE])
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, DIGEST_KEY_SIZE);
	hash_span(&state, account);
	hash_number(&state, service);
	hash_span(&state, header);
	crypto_generichash_final(&state, key, DIGEST_KEY_SIZE);
}

static void numbers_count(uint64_t digest[2], int sign, const uint8_t key[DIGEST_KEY_SIZE], const uint64_t *numbers,
			  size_t count)
{
	unsigned char bytes[16], row[STORE_DIGEST_SIZE];

	for (size_t i = 0; i < count; i++)
		number_save(numbers[i], bytes + 8 * i);
	crypto_shorthash_siphashx24(row, bytes, 8 * count, key);
	digest_count(digest, sign, row);
}

void digest_number(uint64_t digest[2], int sign, const uint8_t key[DIGEST_KEY_SIZE], uint64_t e164)
{
	numbers_count(digest, sign, key, &e164, 1);
}

/* SQL: digest_set(sign, first, last or NULL, account, service, header): counts a number or range in (1) or out (-1). */
static void digest_set(sqlite3_context *context, int count, sqlite3_value **values)
{
	struct store *store = sqlite3_user_data(context);
	int sign = sqlite3_value_int(values[0]);
	bool range = sqlite3_value_type(values[2]) != SQLITE_NULL;
	const uint64_t numbers[] = {(uint64_t)sqlite3_value_int64(values[1]), (uint64_t)sqlite3_value_int64(values[2])};
	const char *account = (const char *)sqlite3_value_text(values[3]);
	const char *header = (const char *)sqlite3_value_text(values[5]);
	uint8_t key[DIGEST_KEY_SIZE];

	(void)count;
	digest_key(span_of(account ? account : ""), (uint16_t)sqlite3_value_int(values[4]),
		   span_of(header ? header : ""), key);
	numbers_count(store->digest, sign, key, numbers, range ? 2 : 1);
	if (!range)
		store->number_count += sign;
	sqlite3_result_null(context);
}

/*
 * SQL: digest_row(sign, table, columns...): counts a row in (1) or out (-1). A column that a later schema added comes
 * as NULL where it has its default, and NULLs at the end do not count: a migration leaves the digest as it was.
 */
static void digest_row(sqlite3_context *context, int count, sqlite3_value **values)
{
	struct store *store = sqlite3_user_data(context);
	crypto_generichash_state state;
	unsigned char bytes[STORE_DIGEST_SIZE];

	crypto_generichash_init(&state, NULL, 0, sizeof(bytes));
	while (sqlite3_value_type(values[count - 1]) == SQLITE_NULL)
		count--;
	for (int i = 1; i < count; i++)
		hash_value(&state, values[i]);
	crypto_generichash_final(&state, bytes, sizeof(bytes));
	digest_count(store->digest, sqlite3_value_int(values[0]), bytes);
	sqlite3_result_null(context);
}

/* --- all rows of a table, or one --- */

/* Writes ", <prefix>column, ..." of a table, a column with a default as NULL where it has that. */
static int columns_write(struct store *store, size_t table, const char *prefix, char text[COLUMNS_SIZE])
{
	sqlite3_stmt *statement;
	size_t used = 0;
	int rc = store_select(store, &statement,
			      "SELECT iif(dflt_value IS NULL, ?1 || name, 'nullif(' || ?1 || name || ', ' || dflt_value"
			      " || ')') FROM pragma_table_info(?2) WHERE name != ?3 ORDER BY cid",
			      "ttt", prefix, digest_tables[table].name, digest_tables[table].local);

	text[0] = '\0';
	while (rc == 0 && (rc = store_step(store, &statement)) > 0) {
		if (used < COLUMNS_SIZE)
			used += (size_t)snprintf(text + used, COLUMNS_SIZE - used, ", %s", store_text(statement, 0));
		rc = 0;
	}
	return rc;
}

/* Writes the SELECT that counts a row; @p from: the table, or NULL in a trigger, where @p prefix is OLD. or NEW. */
static int select_write(struct store *store, size_t table, int sign, const char *prefix, const char *from,
			char text[SELECT_SIZE])
{
	char columns[COLUMNS_SIZE];

	if (digest_tables[table].first) {
		const char *last = digest_tables[table].last;
		snprintf(text, SELECT_SIZE,
			 "SELECT digest_set(%d, %s%s, %s%s, s.account, s.service, s.header) FROM %s%s attribute_set s"
			 " WHERE s.id = %sattribute_set",
			 sign, prefix, digest_tables[table].first, last ? prefix : "", last ? last : "NULL",
			 from ? from : "", from ? " CROSS JOIN" : "", prefix);
		return 0;
	}
	int rc = columns_write(store, table, prefix, columns);
	snprintf(text, SELECT_SIZE, "SELECT digest_row(%d, '%s'%s)%s%s", sign, digest_tables[table].name, columns,
		 from ? " FROM " : "", from ? from : "");
	return rc;
}

/* Temporary triggers: they live with this connection, so the file stays readable and writable for other tools. */
static int triggers_add(struct store *store, size_t index)
{
	const char *table = digest_tables[index].name;
	char out[SELECT_SIZE], in[SELECT_SIZE], sql[5 * SELECT_SIZE];
	int rc = select_write(store, index, -1, "OLD.", NULL, out);

	if (rc == 0)
		rc = select_write(store, index, 1, "NEW.", NULL, in);
	if (rc)
		return rc;
	snprintf(sql, sizeof(sql),
		 "CREATE TEMP TRIGGER %s_insert AFTER INSERT ON main.%s BEGIN %s; END;"
		 "CREATE TEMP TRIGGER %s_delete AFTER DELETE ON main.%s BEGIN %s; END;"
		 "CREATE TEMP TRIGGER %s_update AFTER UPDATE ON main.%s BEGIN %s; %s; END;",
		 table, table, in, table, table, out, table, table, out, in);
	return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_failed(store);
}

int digest_triggers_add(struct store *store)
{
	int rc = 0;

	for (size_t i = 0; i < DIGEST_TABLES && rc == 0; i++)
		rc = triggers_add(store, i);
	return rc;
}

int digest_numbers_add(struct store *store)
{
	return triggers_add(store, NUMBERS);
}

int digest_numbers_drop(struct store *store)
{
	static const char sql[] = "DROP TRIGGER temp.number_insert; DROP TRIGGER temp.number_update;"
				  "DROP TRIGGER temp.number_delete";

	return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_failed(store);
}

int store_digest_compute(struct store *store, uint64_t digest[2])
{
	uint64_t kept[2] = {store->digest[0], store->digest[1]};
	int64_t count = store->number_count;
	int rc = 0;

	store->digest[0] = store->digest[1] = 0;
	for (size_t i = 0; i < DIGEST_TABLES && rc == 0; i++) {
		char prefix[64], sql[SELECT_SIZE];
		snprintf(prefix, sizeof(prefix), "%s.", digest_tables[i].name);
		rc = select_write(store, i, 1, prefix, digest_tables[i].name, sql);
		if (rc == 0)
			rc = store_run(store, sql, "");
	}
	digest[0] = store->digest[0];
	digest[1] = store->digest[1];
	store->digest[0] = kept[0];
	store->digest[1] = kept[1];
	store->number_count = count;
	return rc;
}

/* --- functions --- */

/* unhex() came with SQLite 3.41. */
static void digest_bytes(sqlite3_context *context, int count, sqlite3_value **values)
{
	unsigned char bytes[STORE_DIGEST_SIZE] = {0};
	const char *text = (const char *)sqlite3_value_text(values[0]);

	(void)count;
	if (text)
		sodium_hex2bin(bytes, sizeof(bytes), text, strlen(text), NULL, NULL, NULL);
	sqlite3_result_blob(context, bytes, sizeof(bytes), SQLITE_TRANSIENT);
}

static void digest_computed(sqlite3_context *context, int count, sqlite3_value **values)
{
	struct store *store = sqlite3_user_data(context);
	unsigned char bytes[STORE_DIGEST_SIZE];
	uint64_t digest[2];

	(void)count;
	(void)values;
	if (store_digest_compute(store, digest)) {
		sqlite3_result_error(context, store->error, -1);
		return;
	}
	digest_save(digest, bytes);
	sqlite3_result_blob(context, bytes, sizeof(bytes), SQLITE_TRANSIENT);
}

int digest_functions_add(struct store *store)
{
	static const struct {
		const char *name;
		int arguments;
		void (*run)(sqlite3_context *context, int count, sqlite3_value **values);
	} functions[] = {{"digest_row", -1, digest_row},
			 {"digest_set", 6, digest_set},
			 {"digest_bytes", 1, digest_bytes},
			 {"digest_computed", 0, digest_computed}};

	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++)
		if (sqlite3_create_function_v2(store->db, functions[i].name, functions[i].arguments, SQLITE_UTF8, store,
					       functions[i].run, NULL, NULL, NULL) != SQLITE_OK)
			return store_failed(store);
	return 0;
}
