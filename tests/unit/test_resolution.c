/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Tests of names and targets: which question is due when, and what the answers make. The clock is the tests' own. */
#include "unit.h"

#include "resolution.h"

static struct resolution *resolution;
static char told[1024]; /* what resolution_settle() told, one after another */

static int set_up(void **state)
{
	(void)state;
	resolution = resolution_new();
	told[0] = '\0';
	return resolution ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	resolution_free(resolution);
	return 0;
}

static void tell(const char *host, const char *reason)
{
	size_t used = strlen(told);
	snprintf(told + used, sizeof(told) - used, "%s=%s;", host, reason);
}

static bool settle(void)
{
	return resolution_settle(resolution, tell);
}

static void want(const char *const *hosts, uint16_t port, enum transport transport)
{
	resolution_begin(resolution);
	for (; *hosts; hosts++)
		resolution_want(resolution, span_of(*hosts), port, transport);
	resolution_end(resolution);
	settle();
}

#define WANT(port, transport, ...) want((const char *const[]){__VA_ARGS__, NULL}, port, transport)

/* "192.0.2.1" or "10 60 5070 a.example" */
static struct record record_of(const char *text, enum record_type type)
{
	struct record record = {0};
	struct prefix prefix;
	if (type == RECORD_SRV) {
		assert_int_equal(
			sscanf(text, "%hu %hu %hu %255s", &record.priority, &record.weight, &record.port, record.name),
			4);
	} else {
		assert_int_equal(prefix_parse(span_of(text), &prefix), 0);
		memcpy(record.address, prefix.address, sizeof(record.address));
	}
	return record;
}

static void answer(int64_t now_ms, enum record_type type, const char *name, uint32_t ttl_s, const char *const *texts)
{
	struct record records[RESOLUTION_ANSWER_MAX];
	struct answer answer = {.kind = ANSWER_RECORDS, .records = records, .ttl_s = ttl_s, .reason = "nothing there"};
	struct question question = {.type = type};
	strcpy(question.name, name);
	for (; texts && *texts; texts++)
		records[answer.count++] = record_of(*texts, type);
	if (!texts)
		answer.kind = ttl_s ? ANSWER_NONE : ANSWER_FAILED;
	resolution_answer(resolution, &question, &answer, now_ms);
}

#define ANSWER(now, type, name, ttl, ...) answer(now, type, name, ttl, (const char *const[]){__VA_ARGS__, NULL})
#define NONE(now, type, name, ttl)        answer(now, type, name, ttl, NULL)
#define FAIL(now, type, name)             answer(now, type, name, 0, NULL)

/* Takes all that is due now. Returns "A a.example;AAAA a.example;". */
static const char *due(int64_t now_ms)
{
	static char text[2048];
	struct question question;
	size_t used = 0;
	text[0] = '\0';
	while (resolution_next(resolution, now_ms, &question))
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s %s;",
					 question.type == RECORD_A      ? "A"
					 : question.type == RECORD_AAAA ? "AAAA"
									: "SRV",
					 question.name);
	return text;
}

/* "192.0.2.1:5060/10/60 ...": last byte, port, priority, weight of each, and the reason behind. */
static const char *targets(const char *host, uint16_t port, enum transport transport)
{
	static char text[2048];
	struct target_list found;
	size_t used = 0;
	resolution_find(resolution, span_of(host), port, transport, &found);
	text[0] = '\0';
	for (size_t i = 0; i < found.count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u:%u/%u/%u%s%.*s", i ? " " : "",
					 found.targets[i].address[15], found.targets[i].port,
					 found.targets[i].srv_priority, found.targets[i].srv_weight,
					 found.targets[i].name.len ? "=" : "", (int)found.targets[i].name.len,
					 found.targets[i].name.ptr);
	snprintf(text + used, sizeof(text) - used, "%s%.*s", found.reason.len ? " !" : "", (int)found.reason.len,
		 found.reason.ptr);
	return text;
}

static void test_name_with_port_is_addresses_of_both_kinds(void **state)
{
	(void)state;
	WANT(5070, TRANSPORT_UDP, "Sip.Example.");
	assert_string_equal(targets("sip.example", 5070, TRANSPORT_UDP), " !is being looked up");
	assert_string_equal(due(0), "A sip.example;AAAA sip.example;");
	ANSWER(0, RECORD_A, "sip.example", 60, "192.0.2.2", "192.0.2.1");
	assert_false(settle());
	ANSWER(0, RECORD_AAAA, "sip.example", 60, "2001:db8::3");
	assert_true(settle());
	assert_string_equal(targets("sip.example", 5070, TRANSPORT_UDP), "1:5070/0/0 2:5070/0/0 3:5070/0/0");
	assert_string_equal(told, "");
}

static void test_address_is_never_asked_for(void **state)
{
	(void)state;
	WANT(0, TRANSPORT_UDP, "192.0.2.1", "2001:db8::1");
	assert_string_equal(due(0), "");
	assert_int_equal(resolution_due_ms(resolution), INT64_MAX);
}

static void test_name_without_port_is_srv_of_its_transport(void **state)
{
	static const char *const questions[] = {[TRANSPORT_UDP] = "SRV _sip._udp.a.example;",
						[TRANSPORT_TCP] = "SRV _sip._tcp.a.example;",
						[TRANSPORT_TLS] = "SRV _sips._tcp.a.example;"};
	(void)state;
	for (enum transport transport = TRANSPORT_UDP; transport <= TRANSPORT_TLS; transport++) {
		WANT(0, transport, "a.example");
		assert_string_equal(due(0), questions[transport]);
	}
}

static void test_srv_records_give_port_priority_weight_and_hosts(void **state)
{
	(void)state;
	WANT(0, TRANSPORT_TLS, "_sip._tls.example");
	assert_string_equal(due(0), "SRV _sip._tls.example;");
	ANSWER(0, RECORD_SRV, "_sip._tls.example", 60, "20 0 5061 c.example", "10 10 5062 b.example",
	       "10 60 5061 a.example");
	assert_false(settle());
	assert_string_equal(due(0),
			    "A a.example;AAAA a.example;A b.example;AAAA b.example;A c.example;AAAA c.example;");
	ANSWER(0, RECORD_A, "a.example", 60, "192.0.2.1");
	ANSWER(0, RECORD_A, "b.example", 60, "192.0.2.2", "192.0.2.3");
	FAIL(0, RECORD_A, "c.example");
	for (const char *const *host = (const char *const[]){"a.example", "b.example", "c.example", NULL}; *host;
	     host++)
		NONE(0, RECORD_AAAA, *host, 30);
	assert_true(settle());
	assert_string_equal(targets("_sip._tls.example", 0, TRANSPORT_TLS),
			    "1:5061/10/60=a.example 2:5062/10/10=b.example 3:5062/10/10=b.example !A: nothing there: "
			    "c.example");
}

static void test_name_without_srv_records_is_addresses_at_the_default_port(void **state)
{
	(void)state;
	WANT(0, TRANSPORT_TLS, "a.example");
	due(0);
	NONE(0, RECORD_SRV, "_sips._tcp.a.example", 30);
	settle();
	assert_string_equal(due(0), "A a.example;AAAA a.example;");
	ANSWER(0, RECORD_A, "a.example", 60, "192.0.2.1");
	NONE(0, RECORD_AAAA, "a.example", 30);
	assert_true(settle());
	assert_string_equal(targets("a.example", 0, TRANSPORT_TLS), "1:5061/0/0");
}

/* Nobody knows yet whether the name has SRV records: addresses would be a guess. */
static void test_failed_srv_question_is_not_taken_for_none(void **state)
{
	(void)state;
	WANT(0, TRANSPORT_UDP, "a.example");
	due(0);
	FAIL(0, RECORD_SRV, "_sip._udp.a.example");
	assert_true(settle());
	assert_string_equal(due(1000), "");
	assert_string_equal(targets("a.example", 0, TRANSPORT_UDP), " !SRV: nothing there: _sip._udp.a.example");
	assert_string_equal(told, "a.example=SRV: nothing there: _sip._udp.a.example;");
}

static void test_ttl_within_its_bounds_says_when_to_ask_again(void **state)
{
	static const struct {
		uint32_t ttl;
		int64_t due;
	} rows[] = {{60, 61000}, {0, 6000}, {4, 6000}, {3600, 3601000}, {86400, 3601000}, {UINT32_MAX, 3601000}};
	(void)state;
	WANT(5060, TRANSPORT_UDP, "a.example");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int64_t base = (int64_t)i * 10000000;
		assert_string_equal(due(base), "A a.example;AAAA a.example;");
		ANSWER(base + 1000, RECORD_A, "a.example", rows[i].ttl, "192.0.2.1");
		ANSWER(base + 1000, RECORD_AAAA, "a.example", 5000, "::1");
		assert_string_equal(due(base + rows[i].due - 1), "");
		assert_true(resolution_due_ms(resolution) == base + rows[i].due);
		assert_memory_equal(due(base + rows[i].due), "A a.example;", 12);
		ANSWER(base + 1000, RECORD_A, "a.example", 1, "192.0.2.1");
		ANSWER(base + 1000, RECORD_AAAA, "a.example", 1, "::1"); /* due at the same time as the longest */
	}
}

static void test_what_is_not_there_is_looked_for_within_a_minute(void **state)
{
	(void)state;
	WANT(5060, TRANSPORT_UDP, "a.example");
	due(0);
	NONE(0, RECORD_A, "a.example", 86400);
	NONE(0, RECORD_AAAA, "a.example", 1);
	assert_string_equal(due(4999), "");
	assert_string_equal(due(5000), "AAAA a.example;");
	assert_string_equal(due(59999), "");
	assert_string_equal(due(60000), "A a.example;");
}

static void test_failures_are_asked_again_ever_later(void **state)
{
	static const int64_t waits[] = {2000, 4000, 8000, 16000, 32000, 60000, 60000};
	int64_t now = 0;
	(void)state;
	WANT(5060, TRANSPORT_UDP, "a.example");
	due(0);
	ANSWER(0, RECORD_AAAA, "a.example", 3600, "::1");
	for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
		FAIL(now, RECORD_A, "a.example");
		assert_string_equal(due(now + waits[i] - 1), "");
		now += waits[i];
		assert_string_equal(due(now), "A a.example;");
	}
	ANSWER(now, RECORD_A, "a.example", 60, "192.0.2.1");
	due(now + 60000);
	FAIL(now + 60000, RECORD_A, "a.example");
	assert_string_equal(due(now + 62000), "A a.example;");
}

static void one_address(const char *address)
{
	WANT(5060, TRANSPORT_UDP, "a.example");
	due(0);
	ANSWER(0, RECORD_A, "a.example", 10, address);
	NONE(0, RECORD_AAAA, "a.example", 60);
	assert_true(settle());
	told[0] = '\0';
}

static void test_failed_look_up_keeps_the_last_targets(void **state)
{
	(void)state;
	one_address("192.0.2.1");
	due(10000);
	FAIL(10000, RECORD_A, "a.example");
	assert_true(settle());
	assert_string_equal(targets("a.example", 5060, TRANSPORT_UDP), "1:5060/0/0 !A: nothing there: a.example");
	due(12000);
	FAIL(12000, RECORD_A, "a.example");
	assert_false(settle()); /* the same as before */
	due(16000);
	ANSWER(16000, RECORD_A, "a.example", 10, "192.0.2.2");
	assert_true(settle());
	assert_string_equal(targets("a.example", 5060, TRANSPORT_UDP), "2:5060/0/0");
	assert_string_equal(told, "a.example=A: nothing there: a.example;a.example=;");
}

static void test_name_that_is_gone_keeps_its_targets_and_says_so(void **state)
{
	(void)state;
	one_address("192.0.2.1");
	due(10000);
	NONE(10000, RECORD_A, "a.example", 60);
	assert_true(settle());
	assert_string_equal(targets("a.example", 5060, TRANSPORT_UDP), "1:5060/0/0 !A: nothing there: a.example");
}

static void test_one_kind_of_address_that_is_gone_is_gone(void **state)
{
	(void)state;
	one_address("192.0.2.1");
	due(60000);
	ANSWER(60000, RECORD_A, "a.example", 10, "192.0.2.1");
	ANSWER(60000, RECORD_AAAA, "a.example", 10, "2001:db8::7");
	assert_true(settle());
	assert_string_equal(targets("a.example", 5060, TRANSPORT_UDP), "1:5060/0/0 7:5060/0/0");
	due(70000);
	ANSWER(70000, RECORD_AAAA, "a.example", 10, "2001:db8::7");
	NONE(70000, RECORD_A, "a.example", 10);
	assert_true(settle());
	assert_string_equal(targets("a.example", 5060, TRANSPORT_UDP), "7:5060/0/0");
}

static void test_turned_round_answer_is_no_change(void **state)
{
	(void)state;
	WANT(5060, TRANSPORT_UDP, "a.example");
	due(0);
	ANSWER(0, RECORD_A, "a.example", 10, "192.0.2.1", "192.0.2.2");
	NONE(0, RECORD_AAAA, "a.example", 60);
	assert_true(settle());
	due(10000);
	ANSWER(10000, RECORD_A, "a.example", 10, "192.0.2.2", "192.0.2.1");
	assert_false(resolution_unsettled(resolution));
	assert_false(settle());
}

/* While the hosts of new SRV records are not known, those of the old ones go on. */
static void test_new_srv_hosts_come_when_their_addresses_do(void **state)
{
	(void)state;
	WANT(0, TRANSPORT_UDP, "_sip._udp.a");
	due(0);
	ANSWER(0, RECORD_SRV, "_sip._udp.a", 10, "1 1 5060 old");
	settle();
	due(0);
	ANSWER(0, RECORD_A, "old", 10, "192.0.2.1");
	NONE(0, RECORD_AAAA, "old", 10);
	assert_true(settle());
	due(10000);
	ANSWER(10000, RECORD_SRV, "_sip._udp.a", 10, "1 1 5060 new");
	assert_false(settle());
	assert_string_equal(targets("_sip._udp.a", 0, TRANSPORT_UDP), "1:5060/1/1=old");
	assert_string_equal(due(10000), "A new;AAAA new;");
	ANSWER(10000, RECORD_A, "new", 10, "192.0.2.2");
	NONE(10000, RECORD_AAAA, "new", 10);
	assert_true(settle());
	assert_string_equal(targets("_sip._udp.a", 0, TRANSPORT_UDP), "2:5060/1/1=new");
	assert_string_equal(due(20000), "SRV _sip._udp.a;A new;AAAA new;"); /* old is forgotten */
}

static void test_seeded_targets_stay_while_dns_is_silent(void **state)
{
	struct topology_target seeds[] = {{.port = 5062, .srv_priority = 1, .srv_weight = 9, .name = SPAN_LIT("h1")},
					  {.port = 5063, .srv_priority = 2, .name = SPAN_LIT("h2")}};
	(void)state;
	memcpy(seeds[0].address, record_of("192.0.2.1", RECORD_A).address, 16);
	memcpy(seeds[1].address, record_of("2001:db8::2", RECORD_AAAA).address, 16);
	resolution_seed(resolution, SPAN_LIT("a.example"), 0, TRANSPORT_TCP, seeds, 2);
	WANT(0, TRANSPORT_TCP, "a.example");
	static const char whole[] = "1:5062/1/9=h1 2:5063/2/0=h2";
	assert_string_equal(targets("a.example", 0, TRANSPORT_TCP), whole);
	/* each alone: SRV fails, the hosts fail, one host is another now */
	assert_string_equal(due(0), "SRV _sip._tcp.a.example;A h1;AAAA h1;A h2;AAAA h2;");
	FAIL(0, RECORD_SRV, "_sip._tcp.a.example");
	for (const char *const *host = (const char *const[]){"h1", "h2", NULL}; *host; host++) {
		FAIL(0, RECORD_A, *host);
		FAIL(0, RECORD_AAAA, *host);
	}
	settle();
	assert_memory_equal(targets("a.example", 0, TRANSPORT_TCP), whole, sizeof(whole) - 1);
	due(2000);
	ANSWER(2000, RECORD_SRV, "_sip._tcp.a.example", 60, "1 9 5062 h1", "2 0 5063 h2");
	ANSWER(2000, RECORD_A, "h1", 60, "192.0.2.7");
	FAIL(2000, RECORD_AAAA, "h2");
	assert_true(settle());
	assert_memory_equal(targets("a.example", 0, TRANSPORT_TCP), "7:5062/1/9=h1 2:5063/2/0=h2", 27);
}

static void test_what_nobody_wants_is_forgotten(void **state)
{
	(void)state;
	WANT(5060, TRANSPORT_UDP, "a.example", "b.example");
	due(0);
	WANT(5060, TRANSPORT_UDP, "b.example");
	ANSWER(0, RECORD_A, "a.example", 10, "192.0.2.1"); /* too late, and no harm */
	FAIL(0, RECORD_A, "b.example");
	FAIL(0, RECORD_AAAA, "b.example");
	assert_string_equal(due(100000), "A b.example;AAAA b.example;");
	assert_string_equal(targets("a.example", 5060, TRANSPORT_UDP), " !is being looked up");
}

static void test_one_name_does_not_stop_another(void **state)
{
	(void)state;
	WANT(5060, TRANSPORT_UDP, "a.example", "b.example");
	due(0);
	ANSWER(0, RECORD_A, "b.example", 10, "192.0.2.1");
	NONE(0, RECORD_AAAA, "b.example", 10);
	assert_true(settle());
	assert_string_equal(targets("b.example", 5060, TRANSPORT_UDP), "1:5060/0/0");
	assert_string_equal(targets("a.example", 5060, TRANSPORT_UDP), " !is being looked up");
}

static void test_question_that_waits_longest_is_asked_first(void **state)
{
	struct question question;
	(void)state;
	WANT(5060, TRANSPORT_UDP, "a.example", "b.example");
	due(0);
	FAIL(0, RECORD_A, "a.example");
	FAIL(0, RECORD_AAAA, "a.example");
	ANSWER(0, RECORD_A, "b.example", 3600, "192.0.2.1");
	NONE(-4000, RECORD_AAAA, "b.example", 5);
	assert_true(resolution_next(resolution, 50000, &question));
	assert_string_equal(question.name, "b.example");
	assert_string_equal(due(50000), "A a.example;AAAA a.example;");
}

static void test_targets_are_cut_with_a_reason_and_stand_once(void **state)
{
	(void)state;
	WANT(0, TRANSPORT_UDP, "_s._udp.a");
	due(0);
	ANSWER(0, RECORD_SRV, "_s._udp.a", 60, "1 1 5060 x", "2 1 5060 y", "3 1 5060 x");
	settle();
	due(0);
	const char *texts[32];
	char addresses[32][16];
	for (int i = 0; i < 31; i++)
		texts[i] = (snprintf(addresses[i], 16, "192.0.2.%d", i + 1), addresses[i]);
	texts[31] = NULL;
	answer(0, RECORD_A, "x", 60, texts);
	NONE(0, RECORD_AAAA, "x", 60);
	NONE(0, RECORD_AAAA, "y", 60);
	ANSWER(0, RECORD_A, "y", 60, "198.51.100.1");
	assert_true(settle());
	struct target_list found;
	resolution_find(resolution, SPAN_LIT("_s._udp.a"), 0, TRANSPORT_UDP, &found);
	assert_int_equal(found.count, 32);
	assert_int_equal(found.reason.len, 0);
	due(60000);
	ANSWER(60000, RECORD_A, "y", 60, "198.51.100.1", "198.51.100.2");
	assert_true(settle());
	resolution_find(resolution, SPAN_LIT("_s._udp.a"), 0, TRANSPORT_UDP, &found);
	assert_int_equal(found.count, 32);
	assert_non_null(strstr(told, "more than 32 targets"));
}

static void test_too_many_names_are_cut_with_a_reason(void **state)
{
	static char names[RESOLUTION_QUESTIONS_MAX][16];
	struct question question;
	size_t asked = 0;
	(void)state;
	resolution_begin(resolution);
	for (int i = 0; i < RESOLUTION_QUESTIONS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "n%05d", i);
		resolution_want(resolution, span_of(names[i]), 5060, TRANSPORT_UDP);
	}
	resolution_end(resolution);
	resolution_settle(resolution, NULL);
	while (resolution_next(resolution, 0, &question))
		asked++;
	assert_int_equal(asked, RESOLUTION_QUESTIONS_MAX);
	assert_non_null(strstr(targets("n08000", 5060, TRANSPORT_UDP), "too many names"));
}

/* Any answer to a question of three names: records, none, or a failure. */
static void answer_anything(const struct question *question, unsigned chance, int64_t now_ms)
{
	static const char *const records[3][3] = {{"192.0.2.1", "192.0.2.2", "192.0.2.3"},
						  {"::1", "::2", "::3"},
						  {"1 1 5060 x", "1 2 5060 y", "2 1 5061 x"}};
	unsigned kind = question->type == RECORD_A ? 0 : question->type == RECORD_AAAA ? 1 : 2;
	const char *texts[3] = {NULL};
	for (unsigned i = 0; i < 1 + chance % 2; i++)
		texts[i] = records[kind][(chance / 4 + i) % 3];
	uint32_t ttl = chance % 7 ? 1 + chance % 100 : 0;
	answer(now_ms, question->type, question->name, ttl, chance % 3 ? texts : NULL);
}

static void test_no_walk_of_answers_loses_all_targets(void **state)
{
	static const struct {
		const char *host;
		uint16_t port;
	} names[] = {{"x", 5060}, {"s", 0}, {"_sip._udp.e", 0}};
	struct question asked[64];
	size_t open = 0, had[3] = {0};
	unsigned chance = 1;
	int64_t now_ms = 0;
	(void)state;
	resolution_begin(resolution);
	for (size_t i = 0; i < 3; i++)
		resolution_want(resolution, span_of(names[i].host), names[i].port, TRANSPORT_UDP);
	resolution_end(resolution);
	for (int step = 0; step < 200000; step++) {
		chance = chance * 1664525 + 1013904223;
		now_ms += chance >> 20 & 0x7ff;
		while (open < 64 && resolution_next(resolution, now_ms, &asked[open]))
			open++;
		if (open > 0) {
			size_t one = (chance >> 8) % open;
			answer_anything(&asked[one], chance >> 12, now_ms);
			asked[one] = asked[--open];
		}
		if (chance >> 28 == 0)
			resolution_settle(resolution, NULL);
		for (size_t i = 0; i < 3; i++) {
			struct target_list found;
			resolution_find(resolution, span_of(names[i].host), names[i].port, TRANSPORT_UDP, &found);
			assert_true(found.count >= 1 || !had[i]);
			assert_true(found.count <= RESOLUTION_TARGETS_MAX);
			assert_true(found.count >= 1 || found.reason.len >= 1);
			had[i] = found.count;
		}
	}
	assert_true(had[0] && had[1] && had[2]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_name_with_port_is_addresses_of_both_kinds),
		TEST(test_address_is_never_asked_for),
		TEST(test_name_without_port_is_srv_of_its_transport),
		TEST(test_srv_records_give_port_priority_weight_and_hosts),
		TEST(test_name_without_srv_records_is_addresses_at_the_default_port),
		TEST(test_failed_srv_question_is_not_taken_for_none),
		TEST(test_ttl_within_its_bounds_says_when_to_ask_again),
		TEST(test_what_is_not_there_is_looked_for_within_a_minute),
		TEST(test_failures_are_asked_again_ever_later),
		TEST(test_failed_look_up_keeps_the_last_targets),
		TEST(test_name_that_is_gone_keeps_its_targets_and_says_so),
		TEST(test_one_kind_of_address_that_is_gone_is_gone),
		TEST(test_turned_round_answer_is_no_change),
		TEST(test_new_srv_hosts_come_when_their_addresses_do),
		TEST(test_seeded_targets_stay_while_dns_is_silent),
		TEST(test_what_nobody_wants_is_forgotten),
		TEST(test_one_name_does_not_stop_another),
		TEST(test_question_that_waits_longest_is_asked_first),
		TEST(test_targets_are_cut_with_a_reason_and_stand_once),
		TEST(test_too_many_names_are_cut_with_a_reason),
		TEST(test_no_walk_of_answers_loses_all_targets),
	};
	return cmocka_run_group_tests_name("resolution", tests, NULL, NULL);
}
