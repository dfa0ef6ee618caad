/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "rate.h"

static unsigned pass(struct rate *rate, uint32_t per_second, uint64_t from_us, uint64_t to_us, uint64_t step_us)
{
	unsigned passed = 0;
	for (uint64_t now_us = from_us; now_us < to_us; now_us += step_us)
		passed += rate_admits(rate, per_second, now_us);
	return passed;
}

static void test_a_second_of_calls_may_come_at_once(void **state)
{
	struct rate rate = {0};
	(void)state;
	assert_int_equal(pass(&rate, 10, 5000000, 5000100, 1), 10);
}

/* The times of all that passed are kept and compared with each other. */
static void test_in_no_second_more_than_the_limit_pass(void **state)
{
	static const uint32_t limits[] = {1, 2, 3, 7, 10, 50, 1000};
	static uint64_t times[60000];
	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		struct rate rate = {0};
		size_t count = 0;
		for (uint64_t now_us = 1000000; now_us < 31000000; now_us += 499) {
			if (!rate_admits(&rate, limits[i], now_us))
				continue;
			if (count >= limits[i])
				assert_true(now_us - times[count - limits[i]] >= 1000000);
			times[count++] = now_us;
		}
		/* a step is lost for each second at most */
		assert_in_range(count, limits[i] * 28, limits[i] * 30);
	}
}

static void test_calls_within_the_limit_all_pass(void **state)
{
	struct rate rate = {0};
	(void)state;
	assert_int_equal(pass(&rate, 22, 1000000, 11000000, 50000), 200);
}

static void test_a_refused_call_takes_nothing(void **state)
{
	struct rate rate = {0};
	(void)state;
	assert_true(rate_admits(&rate, 1, 1000000));
	for (uint64_t now_us = 1000000; now_us < 2000000; now_us += 1000)
		assert_false(rate_admits(&rate, 1, now_us));
	assert_true(rate_admits(&rate, 1, 2050000));
}

static void test_after_a_pause_all_is_forgotten(void **state)
{
	struct rate rate = {0};
	(void)state;
	assert_int_equal(pass(&rate, 5, 1000000, 1000100, 1), 5);
	assert_int_equal(pass(&rate, 5, 900000000, 900000100, 1), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_second_of_calls_may_come_at_once),
		cmocka_unit_test(test_in_no_second_more_than_the_limit_pass),
		cmocka_unit_test(test_calls_within_the_limit_all_pass),
		cmocka_unit_test(test_a_refused_call_takes_nothing),
		cmocka_unit_test(test_after_a_pause_all_is_forgotten),
	};
	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
