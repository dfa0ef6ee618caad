/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "rate.h"

static unsigned pass(uint64_t *state_us, uint32_t per_second, uint64_t from_us, uint64_t to_us, uint64_t step_us)
{
	unsigned passed = 0;
	for (uint64_t now_us = from_us; now_us < to_us; now_us += step_us)
		passed += rate_admits(*state_us, per_second, now_us, state_us);
	return passed;
}

static void test_a_second_of_calls_may_come_at_once(void **state)
{
	uint64_t word = 0;
	(void)state;
	assert_int_equal(pass(&word, 10, 5000000, 5000100, 1), 10);
}

static void test_no_more_than_the_limit_pass_on_average(void **state)
{
	static const uint32_t limits[] = {1, 2, 3, 7, 50, 1000};
	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		uint64_t word = 0;
		unsigned passed = pass(&word, limits[i], 1000000, 61000000, 499);
		assert_in_range(passed, 59 * limits[i], 61 * limits[i] + 1);
	}
}

static void test_calls_within_the_limit_all_pass(void **state)
{
	uint64_t word = 0;
	(void)state;
	assert_int_equal(pass(&word, 20, 1000000, 11000000, 50000), 200);
}

static void test_a_refused_call_takes_nothing(void **state)
{
	uint64_t word = 0, next = 77;
	(void)state;
	assert_true(rate_admits(word, 1, 1000000, &word));
	assert_false(rate_admits(word, 1, 1500000, &next));
	assert_int_equal(next, 77);
	assert_true(rate_admits(word, 1, 2000000, &word));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_second_of_calls_may_come_at_once),
		cmocka_unit_test(test_no_more_than_the_limit_pass_on_average),
		cmocka_unit_test(test_calls_within_the_limit_all_pass),
		cmocka_unit_test(test_a_refused_call_takes_nothing),
	};
	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
