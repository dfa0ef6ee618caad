/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "field.h"

static void test_name_takes_1_to_100_of_its_characters(void **state)
{
	char text[102];
	(void)state;
	memset(text, 'a', sizeof(text));
	assert_null(field_name_fault((struct span){text, 100}));
	assert_non_null(field_name_fault((struct span){text, 101}));
	assert_non_null(field_name_fault((struct span){text, 0}));
	assert_null(field_name_fault(SPAN_LIT("Az09_-")));
}

static void test_name_refuses_what_could_end_a_header(void **state)
{
	static const char *const bad[] = {"a b", "a;b", "a\r\nX: y", "a\tb", "a.b", "a=b", "\xc3\xa4", "a,b", "<a>"};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_non_null(field_name_fault(span_of(bad[i])));
	assert_non_null(field_name_fault(SPAN_LIT("a\0b")));
}

static void test_header_name_is_a_token_of_at_most_32(void **state)
{
	(void)state;
	assert_null(field_header_name_fault(SPAN_LIT("X-MS-Operator-Content")));
	assert_null(field_header_name_fault(SPAN_LIT("abcdefghijklmnopqrstuvwxyz012345")));
	assert_non_null(field_header_name_fault(SPAN_LIT("abcdefghijklmnopqrstuvwxyz0123456")));
	assert_non_null(field_header_name_fault(SPAN_LIT("")));
	assert_non_null(field_header_name_fault(SPAN_LIT("X-A:")));
	assert_non_null(field_header_name_fault(SPAN_LIT("X A")));
	assert_non_null(field_header_name_fault(SPAN_LIT("X\0A")));
}

static void test_header_name_of_sip_itself_is_refused(void **state)
{
	static const char *const own[] = {"Via",          "via",   "v", "CONTACT", "m", "Content-Length",
					  "Record-Route", "Reason"};
	(void)state;
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		assert_non_null(field_header_name_fault(span_of(own[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name_takes_1_to_100_of_its_characters),
		cmocka_unit_test(test_name_refuses_what_could_end_a_header),
		cmocka_unit_test(test_header_name_is_a_token_of_at_most_32),
		cmocka_unit_test(test_header_name_of_sip_itself_is_refused),
	};
	return cmocka_run_group_tests_name("field", tests, NULL, NULL);
}
