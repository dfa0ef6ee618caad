/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "grace.h"

enum { GRACE = 130000 };
static const uint64_t since = 1700000000000;

static void test_it_is_over_when_its_time_has_passed(void **state)
{
	struct grace grace = {0};
	(void)state;
	assert_false(grace_is_over(&grace, since, GRACE, since, 5000));
	assert_false(grace_is_over(&grace, since, GRACE, since + GRACE - 1, 5000 + GRACE - 1));
	assert_true(grace_is_over(&grace, since, GRACE, since + GRACE, 5000 + GRACE));
}

static void test_a_wall_clock_that_jumps_changes_nothing(void **state)
{
	struct grace grace = {0};
	(void)state;
	assert_false(grace_is_over(&grace, since, GRACE, since, 5000));
	assert_false(grace_is_over(&grace, since, GRACE, since + 10 * GRACE, 6000));
	assert_true(grace_is_over(&grace, since, GRACE, since - 10 * GRACE, 5000 + GRACE));
}

static void test_after_a_restart_it_goes_on(void **state)
{
	struct grace grace = {0}, late = {0};
	(void)state;
	/* the steady clock has begun anew */
	assert_false(grace_is_over(&grace, since, GRACE, since + 100000, 7));
	assert_false(grace_is_over(&grace, since, GRACE, 0, 29999 + 7));
	assert_true(grace_is_over(&grace, since, GRACE, 0, 30000 + 7));
	assert_true(grace_is_over(&late, since, GRACE, since + GRACE, 7));
}

static void test_a_drain_of_the_future_lasts_no_longer_than_its_time(void **state)
{
	struct grace grace = {0};
	(void)state;
	assert_false(grace_is_over(&grace, since, GRACE, since - 3600000, 7));
	assert_true(grace_is_over(&grace, since, GRACE, since - 3600000, 7 + GRACE));
}

static void test_a_second_drain_has_a_time_of_its_own(void **state)
{
	struct grace grace = {0};
	uint64_t again = since + 2 * GRACE;
	(void)state;
	assert_true(grace_is_over(&grace, since, GRACE, again, 7));
	assert_false(grace_is_over(&grace, again, GRACE, again, 1007));
	assert_true(grace_is_over(&grace, again, GRACE, again, 1007 + GRACE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_is_over_when_its_time_has_passed),
		cmocka_unit_test(test_a_wall_clock_that_jumps_changes_nothing),
		cmocka_unit_test(test_after_a_restart_it_goes_on),
		cmocka_unit_test(test_a_drain_of_the_future_lasts_no_longer_than_its_time),
		cmocka_unit_test(test_a_second_drain_has_a_time_of_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
