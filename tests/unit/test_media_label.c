/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "media_label.h"

#define NOTHING "00000000"
#define ALL     "ffffffff"
#define LABEL(callee, caller, callee_loose, caller_loose)                                                              \
	"trunkgate-" callee "-" caller "-" callee_loose "-" caller_loose
#define QUERY(label) "{\"tags\":{\"a-callee\":{\"label\":\"" label "\"}}}"

static const struct media_label untouched = {.firm = {9, 8}, .loose = {7, 6}};

static struct media_label label;

static int reads(const char *text)
{
	label = untouched;
	return media_label_read(span_of(text), "a-caller", "a-callee", &label);
}

static void assert_label(struct media_label expected)
{
	assert_memory_equal(&label, &expected, sizeof(label));
}

static void test_what_is_written_is_read(void **state)
{
	static const struct media_label labels[] = {
		{.firm = {0}}, untouched, {.firm = {UINT32_MAX, 0}}, {.loose = {0x01234567, 0x89abcdef}}};
	char text[MEDIA_LABEL_LENGTH + 1], query[200];
	(void)state;
	for (size_t i = 0; i < sizeof(labels) / sizeof(*labels); i++) {
		media_label_write(&labels[i], text);
		assert_int_equal(strlen(text), MEDIA_LABEL_LENGTH);
		snprintf(query, sizeof(query), QUERY("%s"), text);
		assert_int_equal(reads(query), 0);
		assert_label(labels[i]);
	}
	media_label_write(&(struct media_label){.firm = {UINT32_MAX, 0x1a}}, text);
	assert_string_equal(text, LABEL(ALL, "0000001a", NOTHING, NOTHING));
}

static void test_both_ends_count(void **state)
{
	(void)state;
	assert_int_equal(reads("{\"tags\":{\"a-callee\":{\"label\":\"" LABEL(
				 "00000001", NOTHING, NOTHING,
				 ALL) "\"},"
				      "\"a-caller\":{\"label\":\"" LABEL("00000002", ALL, NOTHING, NOTHING) "\"}}}"),
			 0);
	assert_label((struct media_label){.firm = {3, UINT32_MAX}, .loose = {0, UINT32_MAX}});
}

static void test_others_say_nothing(void **state)
{
	static const char *const others[] = {
		"{\"tags\":{\"b-callee\":{\"label\":\"" LABEL(ALL, ALL, ALL, ALL) "\"},\"a-caller\":{}}}",
		QUERY(LABEL(ALL, ALL, ALL, "fffffff")),
		QUERY(LABEL(ALL, ALL, ALL, "fffffffff")),
		QUERY(LABEL(ALL, ALL, ALL, "ffffffff ")),
		QUERY(LABEL(ALL, ALL, ALL, "fffffffg")),
		QUERY(LABEL(ALL, ALL, ALL, "FFFFFFFF")),
		QUERY(LABEL(ALL, ALL, ALL, "ffffffff\\u0000")),
		QUERY("trunkgate-" ALL "-" ALL "-" ALL "/" ALL),
		QUERY("trunkgate-3-3"),
		QUERY("somebody's"),
		QUERY(""),
		"{\"tags\":{\"a-callee\":{\"label\":33},\"a-caller\":{\"label\":null}}}",
		"{\"tags\":{\"a-callee\":{\"medias\":[{\"label\":\"" LABEL(ALL, ALL, ALL, ALL) "\"}]}}}",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		assert_int_equal(reads(others[i]), 0);
		assert_label((struct media_label){.firm = {0}});
	}
}

static void test_a_call_without_our_ends_is_not_known(void **state)
{
	(void)state;
	assert_int_equal(reads("{\"tags\":{}}"), -ENOENT);
	assert_int_equal(reads("{\"tags\":{\"b-callee\":{\"label\":\"trunkgate-3-3\"},\"a-callee\":\"\"}}"), -ENOENT);
	assert_label(untouched);
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
		assert_label(untouched);
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
