/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "cadence.h"

enum { INTERVAL = 60000, TIMES = 1000 };

/* A generator of its own: the same walk each time. */
static uint32_t chance(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state ^ *state >> 16;
}

/* When it was done; looked at each @p step_ms. */
static void walk(struct cadence *cadence, uint32_t seed, uint64_t step_ms, uint64_t times[TIMES])
{
	uint64_t now_ms = cadence->next_ms;
	for (size_t i = 0; i < TIMES; now_ms += step_ms)
		if (cadence_due(cadence, INTERVAL, now_ms, chance(&seed)))
			times[i++] = now_ms;
}

static void test_each_is_late_by_a_little_and_none_drifts(void **state)
{
	static uint64_t times[TIMES];
	struct cadence cadence = {.next_ms = 7000};
	uint64_t latest = 0;
	(void)state;
	walk(&cadence, 1, 100, times);
	for (uint64_t i = 0; i < TIMES; i++) {
		assert_in_range(times[i], 7000 + i * INTERVAL, 7000 + i * INTERVAL + CADENCE_LATE_MAX_MS + 100);
		if (times[i] - 7000 - i * INTERVAL > latest)
			latest = times[i] - 7000 - i * INTERVAL;
	}
	assert_true(latest > CADENCE_LATE_MAX_MS / 2);
}

static void test_two_that_began_together_do_not_stay_together(void **state)
{
	static uint64_t first[TIMES], second[TIMES];
	struct cadence a = {.next_ms = 7000}, b = {.next_ms = 7000};
	size_t together = 0;
	(void)state;
	walk(&a, 1, 100, first);
	walk(&b, 2, 100, second);
	for (size_t i = 0; i < TIMES; i++)
		together += first[i] == second[i];
	assert_true(together < TIMES / 5);
}

static void test_a_short_interval_has_a_short_chance(void **state)
{
	struct cadence cadence = {.next_ms = 0};
	(void)state;
	assert_true(cadence_due(&cadence, 200, 0, UINT32_MAX));
	assert_false(cadence_due(&cadence, 200, 200, UINT32_MAX));
	assert_true(cadence_due(&cadence, 200, 210, 0));
	assert_true(cadence_due(&cadence, 200, 400, 0));
}

static void test_missed_times_are_not_made_up_for(void **state)
{
	struct cadence cadence = {.next_ms = 1000};
	(void)state;
	assert_true(cadence_due(&cadence, 1000, 9000, 0));
	assert_false(cadence_due(&cadence, 1000, 9001, 0));
	assert_true(cadence_due(&cadence, 1000, 10000, 0));
}

static void test_no_interval_is_never(void **state)
{
	struct cadence cadence = {0};
	(void)state;
	assert_false(cadence_due(&cadence, 0, 9000, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_is_late_by_a_little_and_none_drifts),
		cmocka_unit_test(test_two_that_began_together_do_not_stay_together),
		cmocka_unit_test(test_a_short_interval_has_a_short_chance),
		cmocka_unit_test(test_missed_times_are_not_made_up_for),
		cmocka_unit_test(test_no_interval_is_never),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
