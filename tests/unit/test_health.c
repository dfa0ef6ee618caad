/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "health.h"

static const struct health_limits limits = {.down_after = 2, .up_after = 2};

static void play(struct health *health, const enum health_event *events, size_t count)
{
	for (size_t i = 0; i < count; i++)
		health_event(health, events[i], &limits, 100 + i);
}

#define PLAY(health, ...)                                                                                              \
	play(health, (const enum health_event[]){__VA_ARGS__},                                                         \
	     sizeof((const enum health_event[]){__VA_ARGS__}) / sizeof(enum health_event))

static void test_up_stays_up_until_failures_in_a_row_reach_the_limit(void **state)
{
	struct health health = {0};
	(void)state;
	PLAY(&health, HEALTH_PROBE_FAILED, HEALTH_PROBE_OK, HEALTH_CALL_SILENT);
	assert_int_equal(health.state, HEALTH_UP);
	PLAY(&health, HEALTH_PROBE_FAILED);
	assert_int_equal(health.state, HEALTH_DOWN);
}

static void test_refusal_counts_at_once(void **state)
{
	struct health health = {0};
	(void)state;
	assert_int_equal(health_event(&health, HEALTH_CALL_REFUSED, &limits, 7), 1);
	assert_int_equal(health.state, HEALTH_DOWN);
	assert_int_equal(health.since_ms, 7);
}

static void test_down_passes_through_probing_to_up(void **state)
{
	struct health health = {.state = HEALTH_DOWN};
	(void)state;
	assert_int_equal(health_event(&health, HEALTH_PROBE_OK, &limits, 1), 1);
	assert_int_equal(health.state, HEALTH_PROBING);
	assert_int_equal(health_event(&health, HEALTH_PROBE_OK, &limits, 2), 1);
	assert_int_equal(health.state, HEALTH_UP);
	assert_int_equal(health_event(&health, HEALTH_PROBE_OK, &limits, 3), 0);
	assert_int_equal(health.since_ms, 2);
}

static void test_one_failure_while_probing_goes_back_to_down(void **state)
{
	struct health health = {.state = HEALTH_DOWN};
	(void)state;
	PLAY(&health, HEALTH_PROBE_OK, HEALTH_PROBE_FAILED);
	assert_int_equal(health.state, HEALTH_DOWN);
	PLAY(&health, HEALTH_PROBE_OK);
	assert_int_equal(health.state, HEALTH_PROBING);
}

static void test_up_after_1_skips_probing(void **state)
{
	static const struct health_limits eager = {.down_after = 1, .up_after = 1};
	struct health health = {0};
	(void)state;
	health_event(&health, HEALTH_PROBE_FAILED, &eager, 1);
	assert_int_equal(health.state, HEALTH_DOWN);
	health_event(&health, HEALTH_CALL_OK, &eager, 2);
	assert_int_equal(health.state, HEALTH_UP);
}

static void test_counters_do_not_wrap(void **state)
{
	struct health health = {.state = HEALTH_DOWN};
	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(health_event(&health, HEALTH_PROBE_FAILED, &limits, 1), 0);
	assert_int_equal(health.failures, UINT8_MAX);
}

static void test_since_is_when_the_state_began(void **state)
{
	struct health health = {0};
	(void)state;
	PLAY(&health, HEALTH_PROBE_FAILED, HEALTH_PROBE_FAILED, HEALTH_PROBE_FAILED);
	assert_int_equal(health.since_ms, 101);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_up_stays_up_until_failures_in_a_row_reach_the_limit),
		cmocka_unit_test(test_refusal_counts_at_once),
		cmocka_unit_test(test_down_passes_through_probing_to_up),
		cmocka_unit_test(test_one_failure_while_probing_goes_back_to_down),
		cmocka_unit_test(test_up_after_1_skips_probing),
		cmocka_unit_test(test_counters_do_not_wrap),
		cmocka_unit_test(test_since_is_when_the_state_began),
	};
	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
