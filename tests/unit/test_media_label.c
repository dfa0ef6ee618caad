/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "media_label.h"

static const struct media_label untouched = {.firm = 9, .loose = 9};

static struct media_label label;

static int reads(const char *text)
{
	label = untouched;
	return media_label_read(span_of(text), "a-caller", "a-callee", &label);
}

static void assert_label(uint8_t firm, uint8_t loose)
{
	assert_int_equal(label.firm, firm);
	assert_int_equal(label.loose, loose);
}

static void test_what_is_written_is_read(void **state)
{
	char text[MEDIA_LABEL_LENGTH + 1], query[200];
	(void)state;
	for (uint8_t bits = 0; bits < 16; bits++) {
		media_label_write((struct media_label){.firm = bits >> 2, .loose = bits & 3}, text);
		assert_int_equal(strlen(text), MEDIA_LABEL_LENGTH);
		snprintf(query, sizeof(query), "{\"tags\":{\"a-callee\":{\"label\":\"%s\"}}}", text);
		assert_int_equal(reads(query), 0);
		assert_label(bits >> 2, bits & 3);
	}
}

static void test_both_ends_count(void **state)
{
	(void)state;
	assert_int_equal(reads("{\"tags\":{\"a-callee\":{\"label\":\"trunkgate-1-0\"},"
			       "\"a-caller\":{\"label\":\"trunkgate-2-1\"}}}"),
			 0);
	assert_label(3, 1);
}

static void test_others_say_nothing(void **state)
{
	static const char *const others[] = {
		"{\"tags\":{\"b-callee\":{\"label\":\"trunkgate-3-3\"},\"a-caller\":{}}}",
		"{\"tags\":{\"a-callee\":{\"label\":\"trunkgate-3-4\"}}}",
		"{\"tags\":{\"a-callee\":{\"label\":\"trunkgate-3-3 \"}}}",
		"{\"tags\":{\"a-callee\":{\"label\":\"trunkgate-3-3\\u0000\"}}}",
		"{\"tags\":{\"a-callee\":{\"label\":\"trunkgate-3/3\"}}}",
		"{\"tags\":{\"a-callee\":{\"label\":\"trunkgate-/-3\"}}}",
		"{\"tags\":{\"a-callee\":{\"label\":\"somebody's\"}}}",
		"{\"tags\":{\"a-callee\":{\"label\":33},\"a-caller\":{\"label\":null}}}",
		"{\"tags\":{\"a-callee\":{\"medias\":[{\"label\":\"trunkgate-3-3\"}]}}}",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		assert_int_equal(reads(others[i]), 0);
		assert_label(0, 0);
	}
}

static void test_a_call_without_our_ends_is_not_known(void **state)
{
	(void)state;
	assert_int_equal(reads("{\"tags\":{}}"), -ENOENT);
	assert_int_equal(reads("{\"tags\":{\"b-callee\":{\"label\":\"trunkgate-3-3\"},\"a-callee\":\"\"}}"), -ENOENT);
	assert_label(untouched.firm, untouched.loose);
}

static void test_what_is_no_answer_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		" ",
		"null",
		"[]",
		"\"tags\"",
		"{",
		"{}",
		"{\"tags\":[]}",
		"{\"tags\":null}",
		"{\"tags\":{\"a-callee\":{}}",
		"{\"tags\":{\"a-callee\":{}}}x",
		"{\"tags\":{\"a-callee\":{}}}{\"tags\":{}}",
		"{\"tags\":{\"a-callee\":{},}}",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		if (reads(wrong[i]) != -EINVAL)
			fail_msg("%s is taken", wrong[i]);
		assert_label(untouched.firm, untouched.loose);
	}
}

static void test_an_answer_that_is_too_long_is_refused(void **state)
{
	static const char start[] = "{\"tags\":{\"a-callee\":{}}}";
	char *text = malloc(MEDIA_QUERY_MAX + 2);
	(void)state;
	assert_non_null(text);
	memset(text, ' ', MEDIA_QUERY_MAX + 1);
	memcpy(text + MEDIA_QUERY_MAX + 1 - (sizeof(start) - 1), start, sizeof(start));
	assert_int_equal(reads(text), -EINVAL);
	assert_int_equal(reads(text + 1), 0);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_written_is_read),
		cmocka_unit_test(test_both_ends_count),
		cmocka_unit_test(test_others_say_nothing),
		cmocka_unit_test(test_a_call_without_our_ends_is_not_known),
		cmocka_unit_test(test_what_is_no_answer_is_refused),
		cmocka_unit_test(test_an_answer_that_is_too_long_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
