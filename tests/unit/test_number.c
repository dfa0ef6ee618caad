/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "number.h"

static void test_number_accepts_and_refuses_by_the_rule(void **state)
{
	static const struct {
		const char *text;
		uint64_t e164; /* 0: refused */
	} rows[] = {
		{"+10", 10},
		{"+15551230001", 15551230001},
		{"+999999999999999", 999999999999999},
		{"", 0},
		{"+", 0},
		{"+1", 0},
		{"+0123", 0},
		{"15551230001", 0},
		{"+1555123000a", 0},
		{"+1 555", 0},
		{"++1555", 0},
		{"+1555\n", 0},
		{"+1000000000000000", 0},
		{"+4.4E+11", 0},
		{"+\xd9\xa1\xd9\xa2", 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t e164 = 0;
		int result = number_parse(span_of(rows[i].text), &e164);
		assert_int_equal(result, rows[i].e164 ? 0 : -EINVAL);
		assert_int_equal(e164, rows[i].e164);
		assert_int_equal(number_fault(span_of(rows[i].text)) == NULL, rows[i].e164 != 0);
	}
}

static void test_number_with_a_nul_inside_is_refused(void **state)
{
	uint64_t e164;
	(void)state;
	assert_int_equal(number_parse(SPAN_LIT("+1555\0001"), &e164), -EINVAL);
}

static void test_number_format_is_the_inverse_of_parse(void **state)
{
	char text[NUMBER_TEXT_SIZE];
	(void)state;
	for (uint64_t e164 = 10; e164 < 999999999999999; e164 = e164 * 7 + 3) {
		uint64_t back;
		number_format(e164, text);
		assert_int_equal(number_parse(span_of(text), &back), 0);
		assert_int_equal(back, e164);
	}
}

static void test_number_mask_shows_the_last_two_digits_only(void **state)
{
	char text[NUMBER_TEXT_SIZE];
	(void)state;
	number_mask(15551230042, text);
	assert_string_equal(text, "+*********42");
	number_mask(10, text);
	assert_string_equal(text, "+10");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number_accepts_and_refuses_by_the_rule),
		cmocka_unit_test(test_number_with_a_nul_inside_is_refused),
		cmocka_unit_test(test_number_format_is_the_inverse_of_parse),
		cmocka_unit_test(test_number_mask_shows_the_last_two_digits_only),
	};
	return cmocka_run_group_tests_name("number", tests, NULL, NULL);
}
