/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Tests of the operations: the table, wrong inputs, accounts, numbers, log, publishing, a store that fails. */
#include "provision.h"

#include "number.h"
#define NUMBER                   "+15551230001"
#define SERVICE                  "teamsOperatorConnect"
#define LONG_100                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define REQUEST(name, arguments) "{\"operation\":\"" name "\",\"arguments\":[" arguments "]}"

/* The store holds the account acme with one number, NUMBER. */
static const struct {
	const char *line;
	int code;
	const char *field, *reason;
} bad_requests[] = {
	{"", 400, "request", "is empty"},
	{"null", 400, "request", ""},
	{"7", 400, "request", ""},
	{"[]", 400, "request", "must be an object"},
	{"{", 400, "request", "is not whole JSON"},
	{"{\"operation\":\"status\"", 400, "request", "is not whole JSON"},
	{"{\"operation\":\"status\"} x", 400, "request", ""},
	{"{\"operation\":\"stat\xff\"}", 400, "request", "is not JSON"},
	{"GET / HTTP/1.1", 400, "request", "is not JSON"},
	{"{}", 400, "operation", "is missing"},
	{"{\"operation\":7}", 400, "operation", "must be text"},
	{"{\"operation\":\"\"}", 404, "operation", "there is no operation"},
	{"{\"operation\":\"drop_table\"}", 404, "operation", "'drop_table'"},
	{"{\"operation\":\"status\\u0000\"}", 400, "operation", "NUL"},
	{"{\"operation\":\"status\",\"argument\":[]}", 400, "argument", "is no key"},
	{"{\"operation\":\"status\",\"arguments\":{}}", 400, "arguments", "must be a list"},
	{"{\"operation\":\"status\",\"via\":\"a b\"}", 400, "via", "1-32"},
	{"{\"operation\":\"status\",\"via\":7}", 400, "via", "must be text"},
	{"{\"operation\":\"status\",\"document\":\"{}\"}", 400, "document", "takes none"},
	{REQUEST("status", "\"x\""), 400, "argument 1", "'x' is too much: status takes 0 arguments"},
	{REQUEST("account_set", ""), 400, "account", "is missing"},
	{REQUEST("account_set", "\"a\",\"b\""), 400, "argument 2", "takes 1 argument"},
	{REQUEST("account_set", "\"\""), 400, "account", "is empty"},
	{REQUEST("account_set", "7"), 400, "account", "must be text, in quotes"},
	{REQUEST("account_set", "null"), 400, "account", "must be text"},
	{REQUEST("account_set", "\"a b\""), 400, "account", "may hold only"},
	{REQUEST("account_set", "\"a'; DROP TABLE account; --\""), 400, "account", "may hold only"},
	{REQUEST("account_set", "\"\\u00e9\""), 400, "account", "may hold only"},
	{REQUEST("account_set", "\"a\\u0000b\""), 400, "account", "NUL"},
	{REQUEST("account_set", "\"-\""), 400, "account", "means all accounts"},
	{REQUEST("account_set", "\"" LONG_100 "a\""), 400, "account", "longer than 100"},
	{REQUEST("account_get", "\"nobody\""), 404, "account", "no account nobody"},
	{REQUEST("account_get", "\"ACME\""), 404, "account", "no account ACME"},
	{REQUEST("account_delete", "\"nobody\""), 404, "account", "no account nobody"},
	{REQUEST("account_delete", "\"acme\""), 409, "account", "still has 1 number"},
	{REQUEST("account_list", "\"0\""), 400, "limit", "from 1 to 500"},
	{REQUEST("account_list", "\"501\""), 400, "limit", "from 1 to 500"},
	{REQUEST("account_list", "\"-1\""), 400, "limit", "from 1 to 500"},
	{REQUEST("account_list", "\"007\""), 400, "limit", "from 1 to 500"},
	{REQUEST("account_list", "\"1e2\""), 400, "limit", "from 1 to 500"},
	{REQUEST("account_list", "\"99999999999999999999\""), 400, "limit", "from 1 to 500"},
	{REQUEST("account_list", "\"\""), 400, "limit", "from 1 to 500"},
	{REQUEST("account_list", "\"10\",\"a b\""), 400, "after", "may hold only"},
	{REQUEST("number_set", "\"" NUMBER "\",\"acme\""), 400, "service", "is missing"},
	{REQUEST("number_set", "\"15551230001\",\"acme\",\"" SERVICE "\""), 400, "number", "'+'"},
	{REQUEST("number_set", "\"+05551230001\",\"acme\",\"" SERVICE "\""), 400, "number", ""},
	{REQUEST("number_set", "\"+1\",\"acme\",\"" SERVICE "\""), 400, "number", ""},
	{REQUEST("number_set", "\"+1555123000a\",\"acme\",\"" SERVICE "\""), 400, "number", ""},
	{REQUEST("number_set", "\"+1555 1230001\",\"acme\",\"" SERVICE "\""), 400, "number", ""},
	{REQUEST("number_set", "\"+1234567890123456\",\"acme\",\"" SERVICE "\""), 400, "number", ""},
	{REQUEST("number_set", "15551230001,\"acme\",\"" SERVICE "\""), 400, "number", "must be text, in quotes"},
	{REQUEST("number_set", "\"" NUMBER "\",\"nobody\",\"" SERVICE "\""), 404, "account", "no account nobody"},
	{REQUEST("number_set", "\"" NUMBER "\",\"acme\",\"fax\""), 400, "service", "is not a service"},
	{REQUEST("number_set", "\"" NUMBER "\",\"acme\",\"TeamsOperatorConnect\""), 400, "service", "is not a service"},
	{REQUEST("number_set", "\"" NUMBER "\",\"acme\",\"" SERVICE "\",\"\""), 400, "header", "is empty"},
	{REQUEST("number_set", "\"" NUMBER "\",\"acme\",\"" SERVICE "\",\"go ld\""), 400, "header", "may hold only"},
	{REQUEST("number_set", "\"" NUMBER "\",\"acme\",\"" SERVICE "\",\"a\\r\\nX: y\""), 400, "header",
	 "may hold only"},
	{REQUEST("number_set", "\"" NUMBER "\",\"acme\",\"" SERVICE "\",\"" LONG_100 "a\""), 400, "header",
	 "longer than 100"},
	{REQUEST("number_set", "\"" NUMBER "\",\"acme\",\"teamsPhoneMobile\",\"gold\""), 400, "header",
	 "carries no custom header"},
	{REQUEST("number_set", "\"" NUMBER "\",\"acme\",\"" SERVICE "\",\"gold\",\"x\""), 400, "argument 5",
	 "'x' is too much"},
	{REQUEST("number_get", "\"+15551239999\""), 404, "number", "is not provisioned"},
	{REQUEST("number_get", "\"nan\""), 400, "number", ""},
	{REQUEST("number_delete", "\"+15551239999\""), 404, "number", "is not provisioned"},
	{REQUEST("number_delete", ""), 400, "number", "is missing"},
	{REQUEST("number_list", "\"nobody\""), 404, "account", "no account nobody"},
	{REQUEST("number_list", "\"-\",\"10\",\"15551230001\""), 400, "after", "'+'"},
	{REQUEST("range_set", "\"+4420\",\"+44299\",\"acme\",\"" SERVICE "\""), 400, "last", "as many digits"},
	{REQUEST("range_set", "\"+4420\",\"+4419\",\"acme\",\"" SERVICE "\""), 400, "last", "before the first"},
	{REQUEST("range_set", "\"+4420\",\"+4429\",\"nobody\",\"" SERVICE "\""), 404, "account", "no account nobody"},
	{REQUEST("range_set", "\"+4420\",\"+4429\",\"acme\",\"fax\""), 400, "service", "is not a service"},
	{REQUEST("range_set", "\"+4420\",\"+4429\",\"acme\",\"teamsPhoneMobile\",\"x\""), 400, "header",
	 "carries no custom header"},
	{REQUEST("range_delete", "\"+4420\",\"+4429\""), 404, "first", "there is no range +4420-+4429"},
	{REQUEST("range_list", "\"-\",\"10\",\"+4420\""), 400, "after", "+<first>-+<last>"},
	{REQUEST("range_list", "\"nobody\""), 404, "account", "no account nobody"},
	{REQUEST("topology_load", ""), 400, "file", "is missing"},
	{REQUEST("topology_load", "\"t.json\""), 400, "file", "must start with '/'"},
	{REQUEST("topology_load", "\"/nonexistent.json\""), 400, "file", "No such file"},
	{REQUEST("topology_load", "\"/tmp\""), 400, "file", "is not a regular file"},
	{REQUEST("topology_load", "\"/dev/zero\""), 400, "file", "is not a regular file"},
	{REQUEST("topology_load", "\"/etc/hostname\",\"now\""), 400, "dry-run", "must be dry-run"},
	{"{\"operation\":\"topology_load\",\"arguments\":[\"t\"],\"document\":\"{}\"}", 400, "mode", "is missing"},
	{"{\"operation\":\"topology_load\",\"arguments\":[\"t\"],\"document\":{}}", 400, "document", "must be text"},
	{REQUEST("peer_set", "\"west-1\""), 400, "state", "is missing"},
	{REQUEST("peer_set", "\"west-1\",\"down\""), 400, "state", "auto, drain or disabled"},
	{REQUEST("peer_set", "\"nobody\",\"drain\""), 404, "peer", "no peer nobody"},
	{REQUEST("node_drain", ""), 400, "state", "is missing"},
	{REQUEST("node_drain", "\"yes\""), 400, "state", "must be on or off"},
	{REQUEST("target_list", "\"0\""), 400, "limit", "from 1 to 500"},
	{REQUEST("target_list", "\"1\",\"nobody\""), 404, "after", "no such peer"},
	{REQUEST("topology_get", "\"all\""), 400, "argument 1", "'all' is too much"},
};

static void some_numbers(struct provision *provision)
{
	DONE(ASK(provision, "account_set", "acme"));
	DONE(ASK(provision, "number_set", NUMBER, "acme", SERVICE));
}

static void test_bad_requests_change_nothing(void **state)
{
	struct provision *provision = *state;

	some_numbers(provision);
	for (size_t i = 0; i < sizeof(bad_requests) / sizeof(*bad_requests); i++)
		provision_refused(provision_line(provision, bad_requests[i].line), bad_requests[i].code,
				  bad_requests[i].field, bad_requests[i].reason);
	assert_int_equal(provision->provisioner.store->revision, 2);
	DONE(ASK(provision, "number_get", NUMBER));
}

static void test_every_operation_is_built_in_and_described(void **state)
{
	struct provision *provision = *state;
	FILE *file = fopen(README, "r");
	char readme[32768] = "";

	assert_non_null(file);
	assert_true(fread(readme, 1, sizeof(readme) - 1, file) > 0);
	fclose(file);
	for (const struct operation *operation = operations; operation->name; operation++) {
		char usage[160];
		struct json_object *answer = ASK(provision, operation->name);
		assert_null(strstr(json_object_to_json_string(answer), "is not built in"));
		json_object_put(answer);
		operation_usage(operation, usage, sizeof(usage));
		if (!strstr(readme, usage))
			fail_msg("%s is not in the README", usage);
	}
}

static void result_is(struct json_object *answer, const char *expected)
{
	assert_string_equal(json_object_to_json_string_ext(provision_get(answer, "result"), JSON_C_TO_STRING_PLAIN),
			    expected);
	json_object_put(answer);
}

static void test_number_has_the_fields_of_the_api(void **state)
{
	struct provision *provision = *state;

	some_numbers(provision);
	result_is(
		ASK(provision, "number_get", NUMBER),
		"{\"telephoneNumber\":\"+15551230001\",\"accountName\":\"acme\",\"service\":\"teamsOperatorConnect\"}");
	result_is(ASK(provision, "number_set", NUMBER, "acme", SERVICE, "gold"),
		  "{\"telephoneNumber\":\"+15551230001\",\"accountName\":\"acme\",\"service\":\"teamsOperatorConnect\","
		  "\"customSipHeader\":\"gold\",\"revision\":3}");
	result_is(ASK(provision, "account_get", "acme"),
		  "{\"accountName\":\"acme\",\"numberCount\":1,\"rangeCount\":0}");
}

static void test_limits_of_a_number(void **state)
{
	struct provision *provision = *state;

	some_numbers(provision);
	DONE(ASK(provision, "number_set", "+10", "acme", SERVICE, LONG_100));
	DONE(ASK(provision, "number_set", "+999999999999999", "acme", SERVICE, "0012"));
	DONE(ASK(provision, "account_set", LONG_100));
	DONE(ASK(provision, "account_set", "--"));
}

static void test_same_again_is_no_change(void **state)
{
	struct provision *provision = *state;

	some_numbers(provision);
	some_numbers(provision);
	assert_int_equal(provision->provisioner.store->revision, 2);
}

static void test_lists_are_paged_by_key(void **state)
{
	struct provision *provision = *state;
	char number[NUMBER_TEXT_SIZE] = "";

	DONE(ASK(provision, "account_set", "b"));
	DONE(ASK(provision, "account_set", "a"));
	for (int i = 0; i < 7; i++) {
		snprintf(number, sizeof(number), "+1555123%04d", i);
		DONE(ASK(provision, "number_set", number, i % 2 ? "a" : "b", SERVICE));
	}
	result_is(ASK(provision, "account_list", "1"), "{\"items\":[{\"accountName\":\"a\"}],\"next\":\"a\"}");
	result_is(ASK(provision, "account_list", "1", "a"), "{\"items\":[{\"accountName\":\"b\"}]}");
	struct json_object *answer = ASK(provision, "number_list", "-", "3");
	assert_string_equal(json_object_get_string(provision_get(provision_get(answer, "result"), "next")),
			    "+15551230002");
	json_object_put(answer);
	answer = ASK(provision, "number_list", "", "500", "+15551230002");
	assert_int_equal(json_object_array_length(provision_get(provision_get(answer, "result"), "items")), 4);
	assert_null(provision_get(provision_get(answer, "result"), "next"));
	json_object_put(answer);
	answer = ASK(provision, "number_list", "a");
	assert_int_equal(json_object_array_length(provision_get(provision_get(answer, "result"), "items")), 3);
	json_object_put(answer);
	answer = ASK(provision, "number_list", "a", "1", "+15551230001");
	assert_string_equal(json_object_get_string(provision_get(provision_get(answer, "result"), "next")),
			    "+15551230003");
	json_object_put(answer);
}

static void test_replica_refuses_changes_but_not_its_own_state(void **state)
{
	struct provision *provision = *state;

	DONE(LOAD(provision, provision_topology, "t.json"));
	assert_int_equal(store_run(provision->provisioner.store, "UPDATE store SET role = 'replica'", ""), 0);
	provision_refused(ASK(provision, "account_set", "acme"), 409, "role", "replica");
	provision_refused(LOAD(provision, provision_topology, "t.json", "dry-run"), 409, "role", "replica");
	DONE(ASK(provision, "peer_set", "west-1", "drain"));
	DONE(ASK(provision, "status"));
}

static void test_peer_state_is_this_nodes_own(void **state)
{
	struct provision *provision = *state;
	struct topology_view view;
	struct peer_view peer;

	DONE(LOAD(provision, provision_topology, "t.json"));
	uint64_t digest = provision->provisioner.store->digest[0];
	DONE(ASK(provision, "peer_set", "east-1", "disabled"));
	assert_int_equal(provision->provisioner.store->revision, 1);
	assert_int_equal(provision->provisioner.store->digest[0], digest);
	assert_int_equal(topology_open(provision->publisher.region, &view), 0);
	assert_int_equal(topology_peer_by_name(&view, SPAN_LIT("east-1"), &peer), 0);
	assert_int_equal(peer.admin, ADMIN_DISABLED);
}

static struct topology_settings settings_now(struct provision *provision)
{
	struct topology_settings settings;
	struct topology_view view;

	assert_int_equal(topology_open(provision->publisher.region, &view), 0);
	assert_int_equal(topology_settings(&view, &settings), 0);
	return settings;
}

static void test_drain_of_the_node_is_kept_on_this_node_only(void **state)
{
	struct provision *provision = *state;
	struct topology_settings first, again;

	DONE(LOAD(provision, provision_topology, "t.json"));
	uint64_t digest = provision->provisioner.store->digest[0];
	result_is(ASK(provision, "node_drain", "off"), "{\"draining\":false}");
	DONE(ASK(provision, "node_drain", "on"));
	assert_true(digest == provision->provisioner.store->digest[0]);
	first = settings_now(provision);
	assert_true(first.draining);
	assert_true(first.draining_since_ms > 1700000000000);
	struct json_object *answer = ASK(provision, "status");
	assert_true(json_object_get_boolean(provision_get(provision_get(answer, "result"), "draining")));
	json_object_put(answer);
	/* a new worker, a new topology, on once more: the grace time runs from the first on */
	store_free(provision->provisioner.store);
	provision_open(provision);
	DONE(ASK(provision, "node_drain", "on"));
	DONE(LOAD(provision, "{\"mode\":\"lab\",\"peerGroups\":[]}", "t.json"));
	assert_int_equal(publisher_rebuild(&provision->publisher, provision->provisioner.store), 0);
	again = settings_now(provision);
	assert_true(again.draining && again.draining_since_ms == first.draining_since_ms);
	assert_int_equal(provision->provisioner.store->revision, 2);
	result_is(ASK(provision, "node_drain", "off"), "{\"draining\":false}");
	assert_false(settings_now(provision).draining);
	assert_int_equal(settings_now(provision).draining_since_ms, 0);
}

static void test_targets_are_listed_by_peer(void **state)
{
	struct provision *provision = *state;

	DONE(LOAD(provision, provision_topology, "t.json"));
	result_is(ASK(provision, "target_list", "2"),
		  "{\"items\":[{\"peer\":\"west-1\",\"host\":\"192.0.2.10\",\"targets\":[{\"address\":\"192.0.2.10\","
		  "\"port\":5062}],\"reason\":\"\"},{\"peer\":\"east-1\",\"host\":\"192.0.2.20\",\"targets\":[{"
		  "\"address\":\"192.0.2.20\",\"port\":5060}],\"reason\":\"\"}],\"next\":\"east-1\"}");
	result_is(ASK(provision, "target_list", "2", "east-1"),
		  "{\"items\":[{\"peer\":\"teams-1\",\"host\":\"sip.example.com\",\"targets\":[],"
		  "\"reason\":\"not looked up\"}]}");
	result_is(ASK(provision, "target_list", "2", "teams-1"), "{\"items\":[]}");
	provision->provisioner.publisher = NULL;
	provision_refused(ASK(provision, "target_list"), 503, "region", "no worker");
	provision->provisioner.publisher = &provision->publisher;
}

static void test_dry_run_changes_nothing(void **state)
{
	struct provision *provision = *state;
	struct json_object *answer = LOAD(provision, provision_topology, "t.json", "dry-run");

	assert_true(json_object_get_boolean(provision_get(provision_get(answer, "result"), "dryRun")));
	assert_int_equal(json_object_get_int(provision_get(provision_get(answer, "result"), "changeCount")), 5);
	json_object_put(answer);
	assert_int_equal(provision->provisioner.store->revision, 0);
	result_is(ASK(provision, "account_list"), "{\"items\":[]}");
	provision_refused(ASK(provision, "peer_set", "west-1", "drain"), 404, "peer", "west-1");
}

static void change_replay(struct provision *provision, sqlite3_stmt *statement)
{
	struct json_object *request = json_object_new_object();

	json_object_object_add(request, "operation", json_object_new_string(store_text(statement, 0)));
	json_object_object_add(request, "arguments", json_tokener_parse(store_text(statement, 1)));
	if (*store_text(statement, 2))
		json_object_object_add(request, "document", json_object_new_string(store_text(statement, 2)));
	DONE(provision_line(provision, json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN)));
	json_object_put(request);
}

static void sets_text(struct store *store, char text[1024])
{
	sqlite3_stmt *statement;

	assert_int_equal(store_select(store, &statement,
				      "SELECT group_concat(id || account || service || header) FROM"
				      " (SELECT * FROM attribute_set ORDER BY id)",
				      ""),
			 0);
	assert_int_equal(store_step(store, &statement), 1);
	snprintf(text, 1024, "%s", store_text(statement, 0));
	sqlite3_finalize(statement);
}

/* Ids too, so the copy also answers for dialogs of the first. */
static void test_log_replays_to_the_same_store(void **state)
{
	struct provision *provision = *state, *copy;
	struct store *store = provision->provisioner.store;
	sqlite3_stmt *statement;

	some_numbers(provision);
	DONE(LOAD(provision, provision_topology, "t.json"));
	DONE(ASK(provision, "number_set", NUMBER, "acme", SERVICE, "gold"));
	DONE(ASK(provision, "account_set", "gone"));
	DONE(ASK(provision, "number_set", "+4420", "gone", SERVICE, "x"));
	DONE(ASK(provision, "number_delete", "+4420"));
	DONE(ASK(provision, "account_delete", "gone"));
	DONE(ASK(provision, "number_set", "+4420", "acme", "teamsPhoneMobile"));
	DONE(ASK(provision, "range_set", "+4430", "+4439", "acme", SERVICE, "y"));
	DONE(ASK(provision, "range_set", "+4430", "+4434", "acme", SERVICE, "z"));
	DONE(ASK(provision, "range_delete", "+4430", "+4439"));
	provision_init((void **)&copy);
	assert_int_equal(store_select(store, &statement,
				      "SELECT operation, arguments, document FROM change_log ORDER BY revision", ""),
			 0);
	while (store_step(store, &statement) > 0)
		change_replay(copy, statement);
	assert_int_equal(copy->provisioner.store->revision, store->revision);
	assert_memory_equal(copy->provisioner.store->digest, store->digest, sizeof(store->digest));
	char ours[1024], theirs[1024];
	sets_text(store, ours);
	sets_text(copy->provisioner.store, theirs);
	assert_string_equal(ours, theirs);
	provision_finish((void **)&copy);
}

static void test_log_names_the_user_and_the_door(void **state)
{
	struct provision *provision = *state;
	int64_t found = 0;

	DONE(ASK(provision, "account_set", "acme"));
	assert_int_equal(
		store_integer(provision->provisioner.store, &found,
			      "SELECT count(*) FROM change_log WHERE revision = 1 AND user = 'tester' AND via = 'test'"
			      " AND operation = 'account_set' AND arguments = '[\"acme\"]' AND time LIKE '20%Z'",
			      ""),
		0);
	assert_int_equal(found, 1);
}

static void test_acknowledged_is_published(void **state)
{
	struct provision *provision = *state;
	struct region *region = provision->publisher.region;
	struct attribute_set set;
	char id[REGION_STORE_ID_SIZE];

	DONE(ASK(provision, "account_set", "acme"));
	assert_int_equal(region_revision(region, id), 1);
	some_numbers(provision);
	assert_int_equal(number_table_find(region, 15551230001, &set), 0);
	assert_string_equal(set.account, "acme");
	assert_string_equal(attribute_set_header(&set), "");
	DONE(ASK(provision, "number_set", NUMBER, "acme", SERVICE, "gold"));
	assert_int_equal(number_table_find(region, 15551230001, &set), 0);
	assert_string_equal(attribute_set_header(&set), "gold");
	assert_int_equal(region_revision(region, id), 3);
	assert_string_equal(id, provision->provisioner.store->id);
	uint32_t old = set.id;
	DONE(ASK(provision, "number_delete", NUMBER));
	assert_int_equal(number_table_find(region, 15551230001, &set), -ENOENT);
	assert_int_equal(number_table_set(region, old, &set), 0); /* a dialog may still ask for it */
	DONE(ASK(provision, "account_delete", "acme"));
	assert_int_equal(number_table_set(region, old, &set), -ENOENT);
}

static void test_table_grows_past_its_first_size(void **state)
{
	struct provision *provision = *state;
	struct attribute_set set;

	DONE(ASK(provision, "account_set", "acme"));
	assert_int_equal(store_run(provision->provisioner.store, "PRAGMA synchronous = OFF", ""), 0);
	for (uint64_t number = 1000; number < 5000; number++) {
		char text[NUMBER_TEXT_SIZE];
		number_format(number, text);
		DONE(ASK(provision, "number_set", text, "acme", SERVICE));
	}
	for (uint64_t number = 1000; number < 5000; number++)
		assert_int_equal(number_table_find(provision->publisher.region, number, &set), 0);
	assert_int_equal(number_table_count(provision->publisher.region), 4000);
}

/* As after kill -9: memory that holds another writer's tables. */
static void test_rebuild_over_earlier_memory(void **state)
{
	struct provision *provision = *state;
	struct publisher next = {.region_name = "west"};
	struct attribute_set set;

	some_numbers(provision);
	assert_int_equal(region_format(provision->memory, region_size_min, &next.region), 0);
	assert_int_equal(publisher_rebuild(&next, provision->provisioner.store), 0);
	assert_int_equal(number_table_find(next.region, 15551230001, &set), 0);
	provision->provisioner.publisher = &next;
	DONE(ASK(provision, "number_set", "+4420", "acme", SERVICE));
	assert_int_equal(number_table_find(next.region, 4420, &set), 0);
	publisher_finish(&next);
}

static void range_answers(struct provision *provision, uint64_t e164, const char *header)
{
	struct attribute_set set;

	assert_int_equal(number_table_find(provision->publisher.region, e164, &set), header ? 0 : -ENOENT);
	if (header)
		assert_string_equal(attribute_set_header(&set), header);
}

static void test_narrowest_range_answers_and_a_number_beats_it(void **state)
{
	struct provision *provision = *state;

	some_numbers(provision);
	DONE(ASK(provision, "account_set", "other"));
	DONE(ASK(provision, "range_set", "+44200", "+44299", "acme", SERVICE, "wide"));
	DONE(ASK(provision, "range_set", "+44210", "+44219", "acme", SERVICE, "narrow"));
	DONE(ASK(provision, "number_set", "+44215", "other", SERVICE, "exact"));
	range_answers(provision, 44215, "exact");
	range_answers(provision, 44216, "narrow");
	range_answers(provision, 44220, "wide");
	range_answers(provision, 44199, NULL);
	result_is(ASK(provision, "number_get", "+44216"),
		  "{\"telephoneNumber\":\"+44216\",\"accountName\":\"acme\",\"service\":\"teamsOperatorConnect\","
		  "\"customSipHeader\":\"narrow\",\"rangeFirst\":\"+44210\",\"rangeLast\":\"+44219\"}");
	result_is(ASK(provision, "number_get", "+44215"),
		  "{\"telephoneNumber\":\"+44215\",\"accountName\":\"other\",\"service\":\"teamsOperatorConnect\","
		  "\"customSipHeader\":\"exact\"}");
	DONE(ASK(provision, "range_set", "+44210", "+44219", "acme", SERVICE, "again"));
	range_answers(provision, 44216, "again");
	DONE(ASK(provision, "range_delete", "+44210", "+44219"));
	range_answers(provision, 44216, "wide");
	DONE(ASK(provision, "number_delete", "+44215"));
	range_answers(provision, 44215, "wide");
	provision->publisher.stale = true;
	DONE(ASK(provision, "account_set", "third"));
	range_answers(provision, 44215, "wide");
}

static void test_ranges_that_may_not_stand_together_are_refused(void **state)
{
	struct provision *provision = *state;

	some_numbers(provision);
	DONE(ASK(provision, "account_set", "other"));
	DONE(ASK(provision, "range_set", "+44200", "+44299", "acme", SERVICE));
	provision_refused(ASK(provision, "range_set", "+44250", "+44350", "acme", SERVICE), 409, "first",
			  "overlaps in part with +44200-+44299 of acme");
	provision_refused(ASK(provision, "range_set", "+44150", "+44250", "acme", SERVICE), 409, "first",
			  "overlaps in part with +44200-+44299 of acme");
	provision_refused(ASK(provision, "range_set", "+44210", "+44219", "other", SERVICE), 409, "first",
			  "overlaps, of another account, with +44200-+44299 of acme");
	provision_refused(ASK(provision, "range_set", "+44100", "+44399", "other", SERVICE), 409, "first",
			  "overlaps, of another account, with +44200-+44299 of acme");
	provision_refused(ASK(provision, "range_set", "+44200", "+44299", "other", SERVICE), 409, "first",
			  "overlaps, of another account, with +44200-+44299 of acme");
	DONE(ASK(provision, "range_set", "+442000", "+442999", "other", SERVICE));
	DONE(ASK(provision, "range_set", "+44300", "+44300", "other", SERVICE));
	DONE(ASK(provision, "number_delete", NUMBER));
	provision_refused(ASK(provision, "account_delete", "acme"), 409, "account", "still has 1 range");
	DONE(ASK(provision, "range_delete", "+44200", "+44299"));
	DONE(ASK(provision, "account_delete", "acme"));
	range_answers(provision, 44200, NULL);
}

static void test_ranges_nest_to_the_depth_of_the_table(void **state)
{
	struct provision *provision = *state;
	char first[NUMBER_TEXT_SIZE];

	some_numbers(provision);
	for (unsigned i = 0; i < NUMBER_RANGE_DEPTH; i++) {
		number_format(44000 + i, first);
		DONE(ASK(provision, "range_set", first, "+44999", "acme", SERVICE));
	}
	provision_refused(ASK(provision, "range_set", "+44500", "+44600", "acme", SERVICE), 409, "first",
			  "is nested too deep in +44031-+44999");
	provision_refused(ASK(provision, "range_set", "+43999", "+44999", "acme", SERVICE), 409, "first", "too deep");
}

static void test_ranges_are_paged_in_order(void **state)
{
	struct provision *provision = *state;

	some_numbers(provision);
	DONE(ASK(provision, "account_set", "other"));
	DONE(ASK(provision, "range_set", "+44200", "+44209", "acme", SERVICE));
	DONE(ASK(provision, "range_set", "+44200", "+44299", "acme", SERVICE));
	DONE(ASK(provision, "range_set", "+44100", "+44199", "other", SERVICE, "x"));
	result_is(ASK(provision, "range_list", "-", "2"),
		  "{\"items\":[{\"telephoneNumber\":\"+44100\",\"telephoneNumberLast\":\"+44199\",\"accountName\":"
		  "\"other\",\"service\":\"teamsOperatorConnect\",\"customSipHeader\":\"x\"},{\"telephoneNumber\":"
		  "\"+44200\",\"telephoneNumberLast\":\"+44299\",\"accountName\":\"acme\",\"service\":"
		  "\"teamsOperatorConnect\"}],\"next\":\"+44200-+44299\"}");
	result_is(ASK(provision, "range_list", "acme", "2", "+44200-+44299"),
		  "{\"items\":[{\"telephoneNumber\":\"+44200\",\"telephoneNumberLast\":\"+44209\",\"accountName\":"
		  "\"acme\",\"service\":\"teamsOperatorConnect\"}]}");
}

static void store_fill(struct provision *provision, const char *sql)
{
	sqlite3 *other;

	assert_int_equal(sqlite3_open(provision->path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
}

/* Committed is told apart from refused, and comes into force as soon as there is room. */
static void test_full_region_is_told_and_survived(void **state)
{
	struct provision *provision = *state;
	struct region *region = provision->publisher.region;
	struct attribute_set set;

	some_numbers(provision);
	store_fill(provision,
		   "WITH RECURSIVE n(i) AS (SELECT 20000000 UNION ALL SELECT i + 1 FROM n WHERE i < 20900000)"
		   " INSERT INTO number SELECT i, 1, 1 FROM n");
	provision->publisher.stale = true;
	provision_refused(ASK(provision, "number_set", "+4420", "acme", SERVICE), 503, "region",
			  "stored as revision 3, but calls do not see it yet: the shared region is full");
	assert_int_equal(number_table_find(region, 15551230001, &set), 0);
	assert_int_equal(number_table_find(region, 4420, &set), -ENOENT);
	DONE(ASK(provision, "number_get", "+4420"));
	store_fill(provision, "DELETE FROM number WHERE e164 BETWEEN 20000000 AND 20900000");
	DONE(ASK(provision, "number_set", "+4421", "acme", SERVICE));
	assert_int_equal(number_table_find(region, 4420, &set), 0);
	assert_int_equal(number_table_find(region, 4421, &set), 0);
}

/* Refused by the store: 503 with its reason, nothing half done, and the next change works. */
static void store_refuses(struct provision *provision, const char *spoil, const char *mend, const char *reason)
{
	struct store *store = provision->provisioner.store;
	uint64_t revision = store->revision, digest[2];
	struct attribute_set set;

	assert_int_equal(sqlite3_exec(store->db, spoil, NULL, NULL, NULL), SQLITE_OK);
	provision_refused(LOAD(provision, provision_topology, "t.json"), 503, "store", reason);
	provision_refused(ASK(provision, "number_set", "+4420", "acme", SERVICE, LONG_100), 503, "store", reason);
	DONE(ASK(provision, "number_get", NUMBER));
	assert_int_equal(number_table_find(provision->publisher.region, 4420, &set), -ENOENT);
	assert_int_equal(sqlite3_exec(store->db, mend, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(store->revision, revision);
	assert_int_equal(store_digest_compute(store, digest), 0);
	assert_memory_equal(store->digest, digest, sizeof(digest));
	DONE(ASK(provision, "number_set", "+4421", "acme", SERVICE));
}

static void test_full_disk_is_told_and_survived(void **state)
{
	struct provision *provision = *state;
	struct store *store = provision->provisioner.store;
	struct json_object *answer;
	char name[100] = "";
	int code = 200;

	some_numbers(provision);
	assert_int_equal(sqlite3_exec(store->db, "PRAGMA max_page_count = 1", NULL, NULL, NULL), SQLITE_OK);
	for (int i = 0; i < 1000 && code == 200; i++) {
		snprintf(name, sizeof(name), "account-%090d", i);
		answer = ASK(provision, "account_set", name);
		code = json_object_get_int(provision_get(answer, "code"));
		if (code != 200)
			provision_refused(json_object_get(answer), 503, "store", "database or disk is full");
		json_object_put(answer);
	}
	assert_int_equal(code, 503);
	provision_refused(ASK(provision, "account_get", name), 404, "account", "no account");
	store_refuses(provision, "PRAGMA max_page_count = 1", "PRAGMA max_page_count = 100000", "full");
	DONE(ASK(provision, "account_set", name));
}

static void test_read_only_store_is_told_and_survived(void **state)
{
	some_numbers(*state);
	store_refuses(*state, "PRAGMA query_only = 1", "PRAGMA query_only = 0", "readonly");
}

static void test_locked_store_is_told_and_survived(void **state)
{
	struct provision *provision = *state;
	sqlite3 *other;

	some_numbers(provision);
	assert_int_equal(sqlite3_open(provision->path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	provision_refused(ASK(provision, "account_set", "late"), 503, "store", "locked");
	DONE(ASK(provision, "number_get", NUMBER));
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	DONE(ASK(provision, "account_set", "late"));
}

static void test_deleted_store_is_told(void **state)
{
	struct provision *provision = *state;
	struct attribute_set set;

	some_numbers(provision);
	assert_int_equal(unlink(provision->path), 0);
	provision_refused(ASK(provision, "account_set", "late"), 503, "store", "was deleted or replaced");
	assert_int_equal(number_table_find(provision->publisher.region, 15551230001, &set), 0);
}

#define OPERATION_TEST(name) cmocka_unit_test_setup_teardown(name, provision_region_init, provision_finish)

int main(void)
{
	const struct CMUnitTest tests[] = {OPERATION_TEST(test_bad_requests_change_nothing),
					   OPERATION_TEST(test_every_operation_is_built_in_and_described),
					   OPERATION_TEST(test_number_has_the_fields_of_the_api),
					   OPERATION_TEST(test_limits_of_a_number),
					   OPERATION_TEST(test_same_again_is_no_change),
					   OPERATION_TEST(test_lists_are_paged_by_key),
					   OPERATION_TEST(test_replica_refuses_changes_but_not_its_own_state),
					   OPERATION_TEST(test_peer_state_is_this_nodes_own),
					   OPERATION_TEST(test_drain_of_the_node_is_kept_on_this_node_only),
					   OPERATION_TEST(test_targets_are_listed_by_peer),
					   OPERATION_TEST(test_dry_run_changes_nothing),
					   OPERATION_TEST(test_log_replays_to_the_same_store),
					   OPERATION_TEST(test_log_names_the_user_and_the_door),
					   OPERATION_TEST(test_acknowledged_is_published),
					   OPERATION_TEST(test_table_grows_past_its_first_size),
					   OPERATION_TEST(test_rebuild_over_earlier_memory),
					   OPERATION_TEST(test_narrowest_range_answers_and_a_number_beats_it),
					   OPERATION_TEST(test_ranges_that_may_not_stand_together_are_refused),
					   OPERATION_TEST(test_ranges_nest_to_the_depth_of_the_table),
					   OPERATION_TEST(test_ranges_are_paged_in_order),
					   OPERATION_TEST(test_full_region_is_told_and_survived),
					   OPERATION_TEST(test_full_disk_is_told_and_survived),
					   OPERATION_TEST(test_read_only_store_is_told_and_survived),
					   OPERATION_TEST(test_locked_store_is_told_and_survived),
					   OPERATION_TEST(test_deleted_store_is_told)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
