/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "ng_message.h"

static struct ng_message message;

static int read_text(const char *text)
{
	return ng_read(span_of(text), &message);
}

static const char *text_of(const char *key)
{
	static char room[256], text[256];
	struct span found;
	if (ng_text(message.format, ng_find(&message, key), room, sizeof(room), &found))
		return NULL;
	snprintf(text, sizeof(text), "%.*s", SPAN_ARGS(found));
	return text;
}

static void test_bencode_is_read(void **state)
{
	(void)state;
	assert_int_equal(read_text("c1 d7:command4:ping3:numi-42e4:listl1:a1:bi0ee4:dictd1:xd1:y0:eee"), 0);
	assert_int_equal(message.format, NG_BENCODE);
	assert_true(span_equal(message.cookie, SPAN_LIT("c1")));
	assert_int_equal(message.count, 4);
	assert_string_equal(text_of("command"), "ping");
	assert_int_equal(ng_find(&message, "num")->type, NG_INTEGER);
	assert_int_equal(ng_find(&message, "dict")->type, NG_DICTIONARY);
	assert_null(text_of("num"));
	assert_null(ng_find(&message, "x"));
}

static void test_json_is_read(void **state)
{
	(void)state;
	assert_int_equal(read_text("c1 {\"command\" : \"pi\\u006eg\", \"n\":-42,\"t\":true,\n\"l\":[ \"a\" ,[],{}],"
				   "\"\\u00e4\\ud83d\\ude00\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"} \r\n"),
			 0);
	assert_int_equal(message.format, NG_JSON);
	assert_string_equal(text_of("command"), "ping");
	assert_string_equal(text_of("\xc3\xa4\xf0\x9f\x98\x80"), "\"\\/\b\f\n\r\t");
	assert_int_equal(ng_find(&message, "l")->type, NG_LIST);
	assert_int_equal(read_text("c1 {}"), 0);
}

static void test_ambiguous_messages_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"c",
		"c ",
		" d1:a1:be",
		"c x",
		"c d1:a1:b",
		"c d1:a1:bex",
		"c d1:a1:be ",
		"c d7:command1:b7:command1:ce",
		"c d7:call-id1:b7:call id1:ce",
		"c d3:sdp1:b3:SDP1:ce",
		"c d13:dtls-profiles4:none13:dtls-profiles4:nonee",
		"c d13:dtls-profiles4:none13:DTLS profiles4:nonee",
		"c d12:fingerprints6:remove12:Fingerprints0:e",
		"c d01:a1:be",
		"c d1:a2:be",
		"c d1:a99999:be",
		"c d1:a999999:be",
		"c d-1:a1:be",
		"c di1e1:be",
		"c d1:ae",
		"c d1:ai01ee",
		"c d1:ai-0ee",
		"c d1:ai1xe",
		"c d1:aiee",
		"c d1:ale",
		"c d1:al",
		"c le",
		"c {",
		"c {\"a\":1",
		"c {\"a\":1}x",
		"c {\"a\":1}{}",
		"c {\"a\":1,}",
		"c {,\"a\":1}",
		"c {\"a\":1 \"b\":2}",
		"c {\"sdp\":1,\"sdp\":2}",
		"c {\"sdp\":1,\"\\u0073dp\":2}",
		"c {\"a\":1.5}",
		"c {\"a\":1e3}",
		"c {\"a\":01}",
		"c {\"a\":-0}",
		"c {\"a\":null}",
		"c {\"a\":\"\\u0000\"}",
		"c {\"a\":\"\\ud800\"}",
		"c {\"a\":\"\\udc00\"}",
		"c {\"a\":\"\\x\"}",
		"c {\"a\":\"\n\"}",
		"c {\"a\":\"b}",
		"c {'a':1}",
		"c {a:1}",
		"c {\"a\":[1,]}",
		"c {\"a\":[1 2]}",
		"c {\"a\" 1}",
		"c {\"a\":1} //",
		"c [1]",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (read_text(bad[i]) != -EINVAL)
			fail_msg("read: %s", bad[i]);
}

static void test_other_keys_may_come_twice(void **state)
{
	(void)state;
	assert_int_equal(read_text("c d12:delete delayi0e12:delete-delay1:07:command6:deletee"), 0);
	assert_int_equal(message.count, 3);
	assert_string_equal(text_of("command"), "delete");
}

static void test_a_refused_message_keeps_its_cookie_and_format(void **state)
{
	(void)state;
	assert_int_equal(read_text("abc {\"a\":1"), -EINVAL);
	assert_true(span_equal(message.cookie, SPAN_LIT("abc")));
	assert_int_equal(message.format, NG_JSON);
}

static void nest(char *text, const char *open, unsigned depth, const char *close)
{
	strcpy(text, open[0] == 'l' ? "c d1:a" : "c {\"a\":");
	for (unsigned i = 0; i < depth; i++)
		strcat(text, open);
	for (unsigned i = 0; i < depth; i++)
		strcat(text, close);
	strcat(text, open[0] == 'l' ? "e" : "}");
}

static void test_nesting_has_a_limit(void **state)
{
	char text[256];
	(void)state;
	nest(text, "l", NG_DEPTH_MAX, "e");
	assert_int_equal(read_text(text), 0);
	nest(text, "l", NG_DEPTH_MAX + 1, "e");
	assert_int_equal(read_text(text), -EINVAL);
	nest(text, "[", NG_DEPTH_MAX, "]");
	assert_int_equal(read_text(text), 0);
	nest(text, "[", NG_DEPTH_MAX + 1, "]");
	assert_int_equal(read_text(text), -EINVAL);
}

static void test_entries_have_a_limit(void **state)
{
	char text[4096] = "c d";
	(void)state;
	for (int i = 0; i < NG_ENTRIES_MAX; i++)
		sprintf(text + strlen(text), "3:%03d0:", i);
	char *end = text + strlen(text);
	strcpy(end, "e");
	assert_int_equal(read_text(text), 0);
	strcpy(end, "3:x000:e");
	assert_int_equal(read_text(text), -EINVAL);
}

static void test_keys_are_found_in_each_spelling(void **state)
{
	(void)state;
	assert_int_equal(read_text("c d7:call ID1:a11:record_call2:oke"), 0);
	assert_string_equal(text_of("call-id"), "a");
	assert_string_equal(text_of("record-call"), "ok");
}

static void write_sample(enum ng_format format, const struct ng_value *list, char *out, size_t size)
{
	struct ng_writer writer;
	ng_write_begin(&writer, format, SPAN_LIT("c"), out, size);
	ng_write_text(&writer, SPAN_LIT("t"), SPAN_LIT("a\"\\\r\n\x01"));
	ng_write_number(&writer, SPAN_LIT("n"), 42);
	ng_write_list_begin(&writer, SPAN_LIT("l"), list);
	ng_write_list_text(&writer, SPAN_LIT("x"));
	ng_write_list_end(&writer);
	ng_write_raw(&writer, SPAN_LIT("r"), SPAN_LIT("0:"));
	long length = ng_write_end(&writer);
	assert_true(length > 0);
	out[length] = '\0';
}

static void test_both_formats_are_written(void **state)
{
	char out[256];
	(void)state;
	write_sample(NG_BENCODE, NULL, out, sizeof(out) - 1);
	assert_string_equal(out, "c d1:t6:a\"\\\r\n\x01"
				 "1:ni42e1:ll1:xe1:r0:e");
	write_sample(NG_JSON, NULL, out, sizeof(out) - 1);
	assert_string_equal(out, "c {\"t\":\"a\\\"\\\\\\r\\n\\u0001\",\"n\":42,\"l\":[\"x\"],\"r\":0:}");
}

static void test_a_list_grows_at_its_end(void **state)
{
	char out[256];
	(void)state;
	assert_int_equal(read_text("c d1:ll1:ai7e1:bee"), 0);
	write_sample(NG_BENCODE, ng_find(&message, "l"), out, sizeof(out) - 1);
	assert_non_null(strstr(out, "1:ll1:ai7e1:b1:xe"));
	assert_int_equal(read_text("c {\"l\":[ \"a\" , 7,[1,2] ]}"), 0);
	write_sample(NG_JSON, ng_find(&message, "l"), out, sizeof(out) - 1);
	assert_non_null(strstr(out, "\"l\":[\"a\",7,[1,2],\"x\"]"));
}

static void test_what_does_not_fit_is_said(void **state)
{
	char out[64];
	struct ng_writer writer;
	(void)state;
	for (size_t size = 0; size < 20; size++) {
		memset(out, '#', sizeof(out));
		ng_write_begin(&writer, NG_BENCODE, SPAN_LIT("c"), out, size);
		ng_write_text(&writer, SPAN_LIT("key"), SPAN_LIT("0123456789"));
		assert_int_equal(ng_write_end(&writer), -ENOSPC);
		assert_int_equal(out[size], '#');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bencode_is_read),
		cmocka_unit_test(test_json_is_read),
		cmocka_unit_test(test_ambiguous_messages_are_refused),
		cmocka_unit_test(test_other_keys_may_come_twice),
		cmocka_unit_test(test_a_refused_message_keeps_its_cookie_and_format),
		cmocka_unit_test(test_nesting_has_a_limit),
		cmocka_unit_test(test_entries_have_a_limit),
		cmocka_unit_test(test_keys_are_found_in_each_spelling),
		cmocka_unit_test(test_both_formats_are_written),
		cmocka_unit_test(test_a_list_grows_at_its_end),
		cmocka_unit_test(test_what_does_not_fit_is_said),
	};
	return cmocka_run_group_tests_name("ng_message", tests, NULL, NULL);
}
