/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "health.h"

static const struct health_limits limits = {
	.down_after = 3, .up_after = 2, .probe_interval_ms = 5000, .retry_ms = 30000, .slow_start_ms = 10000};
static const struct health_limits eager = {.down_after = 1, .up_after = 1, .probe_interval_ms = 5000};
static const struct health_limits no_probes = {.down_after = 1, .up_after = 2, .retry_ms = 30000};

/* ------- the edges of the chart: from, event, to, and what the counters were ------- */

static const struct edge {
	const char *name;
	enum health_state from;
	uint8_t failures, successes;
	enum health_event event;
	enum health_state to;
} edges[] = {
	{"up, success", HEALTH_UP, 2, 0, HEALTH_PROBE_OK, HEALTH_UP},
	{"up, call answered", HEALTH_UP, 2, 0, HEALTH_CALL_OK, HEALTH_UP},
	{"up, failures below downAfter", HEALTH_UP, 1, 0, HEALTH_PROBE_FAILED, HEALTH_UP},
	{"up, probe: failures reach downAfter", HEALTH_UP, 2, 0, HEALTH_PROBE_FAILED, HEALTH_DOWN},
	{"up, call: failures reach downAfter", HEALTH_UP, 2, 0, HEALTH_CALL_FAILED, HEALTH_DOWN},
	{"up, probe refused", HEALTH_UP, 0, 0, HEALTH_PROBE_REFUSED, HEALTH_DOWN},
	{"up, call refused", HEALTH_UP, 0, 0, HEALTH_CALL_REFUSED, HEALTH_DOWN},
	{"down, probe answered", HEALTH_DOWN, 0, 0, HEALTH_PROBE_OK, HEALTH_PROBING},
	{"down, call answered", HEALTH_DOWN, 0, 0, HEALTH_CALL_OK, HEALTH_PROBING},
	{"down, probe failed", HEALTH_DOWN, 0, 0, HEALTH_PROBE_FAILED, HEALTH_DOWN},
	{"down, probe refused", HEALTH_DOWN, 0, 0, HEALTH_PROBE_REFUSED, HEALTH_DOWN},
	{"down, call failed", HEALTH_DOWN, 0, 0, HEALTH_CALL_FAILED, HEALTH_DOWN},
	{"probing, successes reach upAfter", HEALTH_PROBING, 0, 1, HEALTH_PROBE_OK, HEALTH_UP},
	{"probing, call: successes reach upAfter", HEALTH_PROBING, 0, 1, HEALTH_CALL_OK, HEALTH_UP},
	{"probing, successes below upAfter", HEALTH_PROBING, 0, 0, HEALTH_PROBE_OK, HEALTH_PROBING},
	{"probing, probe failed", HEALTH_PROBING, 0, 1, HEALTH_PROBE_FAILED, HEALTH_DOWN},
	{"probing, call failed", HEALTH_PROBING, 0, 1, HEALTH_CALL_FAILED, HEALTH_DOWN},
	{"probing, probe refused", HEALTH_PROBING, 0, 1, HEALTH_PROBE_REFUSED, HEALTH_DOWN},
	{"probing, call refused", HEALTH_PROBING, 0, 1, HEALTH_CALL_REFUSED, HEALTH_DOWN},
};

static void test_each_edge_of_the_chart(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(edges) / sizeof(*edges); i++) {
		const struct edge *edge = &edges[i];
		struct health health = {.state = edge->from,
					.failures = edge->failures,
					.successes = edge->successes,
					.answers_probes = true,
					.since_ms = 1};
		int changed = health_event(&health, edge->event, &limits, 77);
		if (health.state != edge->to || changed != (edge->from != edge->to) ||
		    health.since_ms != (changed ? 77u : 1u))
			fail_msg("%s: became %s", edge->name, health_state_name(health.state));
	}
}

static void test_up_after_1_skips_probing(void **state)
{
	struct health health = {.state = HEALTH_DOWN};
	(void)state;
	assert_int_equal(health_event(&health, HEALTH_CALL_OK, &eager, 2), 1);
	assert_int_equal(health.state, HEALTH_UP);
}

static void test_a_success_forgets_failures_and_a_failure_successes(void **state)
{
	struct health health = {0};
	(void)state;
	health_event(&health, HEALTH_PROBE_OK, &limits, 1);
	for (int i = 0; i < 10; i++) {
		health_event(&health, HEALTH_PROBE_FAILED, &limits, 1);
		health_event(&health, HEALTH_CALL_FAILED, &limits, 1);
		health_event(&health, i % 2 ? HEALTH_PROBE_OK : HEALTH_CALL_OK, &limits, 1);
	}
	assert_int_equal(health.state, HEALTH_UP);
}

static void test_counters_do_not_wrap(void **state)
{
	struct health health = {.state = HEALTH_DOWN, .answers_probes = true};
	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(health_event(&health, HEALTH_PROBE_FAILED, &limits, 1), 0);
	assert_int_equal(health.failures, UINT8_MAX);
}

/* ------- targets that only calls can test ------- */

static void test_without_probes_down_becomes_probing_after_the_retry_time(void **state)
{
	struct health health = {0};
	(void)state;
	health_event(&health, HEALTH_CALL_FAILED, &no_probes, 1000);
	assert_int_equal(health.state, HEALTH_DOWN);
	assert_int_equal(health_tick(&health, &no_probes, 30999), 0);
	assert_int_equal(health_admit(&health, &no_probes, 30999, 0), HEALTH_RANK_DEAD);
	assert_int_equal(health_tick(&health, &no_probes, 31000), 1);
	assert_int_equal(health.state, HEALTH_PROBING);
}

static void test_half_open_without_probes_gives_one_trial_call_a_second(void **state)
{
	struct health health = {.state = HEALTH_DOWN};
	(void)state;
	health_tick(&health, &no_probes, 30000);
	/* being looked at takes nothing */
	for (int i = 0; i < 3; i++)
		assert_int_equal(health_admit(&health, &no_probes, 30001, 0), HEALTH_RANK_USABLE);
	assert_true(health_take_trial(&health, &no_probes, 30001));
	assert_false(health_take_trial(&health, &no_probes, 30001));
	assert_int_equal(health_admit(&health, &no_probes, 30002, 0), HEALTH_RANK_HALF_OPEN);
	assert_int_equal(health_admit(&health, &no_probes, 31000, 0), HEALTH_RANK_HALF_OPEN);
	assert_int_equal(health_admit(&health, &no_probes, 31001, 0), HEALTH_RANK_USABLE);
	health_event(&health, HEALTH_CALL_OK, &no_probes, 31002);
	assert_int_equal(health.state, HEALTH_PROBING);
	health_event(&health, HEALTH_CALL_OK, &no_probes, 31003);
	assert_int_equal(health.state, HEALTH_UP);
}

static void test_with_probes_time_alone_changes_nothing(void **state)
{
	struct health health = {.state = HEALTH_DOWN, .answers_probes = true, .answers_calls = true};
	(void)state;
	assert_int_equal(health_tick(&health, &limits, 1000000), 0);
	health_event(&health, HEALTH_PROBE_OK, &limits, 1000000);
	assert_int_equal(health_admit(&health, &limits, 2000000, 0), HEALTH_RANK_HALF_OPEN);
}

static void test_silence_to_a_probe_says_nothing_if_only_calls_were_ever_answered(void **state)
{
	struct health health = {0};
	(void)state;
	for (uint64_t i = 0; i < 10; i++) {
		health_event(&health, HEALTH_CALL_OK, &eager, i);
		assert_int_equal(health_event(&health, HEALTH_PROBE_FAILED, &eager, i), 0);
	}
	/* no call since the last silent probe */
	assert_int_equal(health_event(&health, HEALTH_PROBE_FAILED, &eager, 20), 1);
	assert_int_equal(health.state, HEALTH_DOWN);
	assert_int_equal(health_tick(&health, &limits, 20 + limits.retry_ms), 1);
}

static void test_silence_to_a_probe_counts_if_one_was_ever_answered(void **state)
{
	struct health health = {0};
	(void)state;
	health_event(&health, HEALTH_PROBE_OK, &eager, 1);
	health_event(&health, HEALTH_CALL_OK, &eager, 2);
	assert_int_equal(health_event(&health, HEALTH_PROBE_FAILED, &eager, 3), 1);
}

static void test_a_refused_probe_counts_in_any_case(void **state)
{
	struct health health = {0};
	(void)state;
	health_event(&health, HEALTH_CALL_OK, &eager, 1);
	assert_int_equal(health_event(&health, HEALTH_PROBE_REFUSED, &eager, 2), 1);
}

/* ------- timers ------- */

static void test_probes_keep_a_clock_that_does_not_drift(void **state)
{
	struct health health = {.next_probe_ms = 1000};
	(void)state;
	assert_false(health_probe_due(&health, &limits, 999));
	assert_true(health_probe_due(&health, &limits, 1080));
	assert_false(health_probe_due(&health, &limits, 5999));
	assert_true(health_probe_due(&health, &limits, 6090));
	assert_int_equal(health.next_probe_ms, 11000);
}

static void test_missed_probes_are_not_made_up_for(void **state)
{
	struct health health = {0};
	(void)state;
	assert_true(health_probe_due(&health, &limits, 100000));
	assert_false(health_probe_due(&health, &limits, 104999));
}

static void test_half_open_is_probed_each_second(void **state)
{
	struct health health = {.state = HEALTH_DOWN};
	(void)state;
	assert_true(health_probe_due(&health, &limits, 50000));
	health_event(&health, HEALTH_PROBE_OK, &limits, 50010);
	assert_false(health_probe_due(&health, &limits, 51009));
	assert_true(health_probe_due(&health, &limits, 51010));
	assert_int_equal(health.next_probe_ms, 52010);
}

static void test_probing_off_sends_none(void **state)
{
	struct health health = {0};
	(void)state;
	assert_false(health_probe_due(&health, &no_probes, UINT64_MAX / 2));
}

/* ------- slow start ------- */

static unsigned share_of(struct health *health, uint64_t now_ms)
{
	unsigned usable = 0;
	for (uint64_t i = 0; i < 1000; i++)
		usable += health_admit(health, &limits, now_ms, (uint32_t)(i * UINT32_MAX / 999)) == HEALTH_RANK_USABLE;
	return usable;
}

static void test_share_grows_after_a_recovery(void **state)
{
	struct health health = {.state = HEALTH_PROBING, .successes = 1};
	(void)state;
	health_event(&health, HEALTH_PROBE_OK, &limits, 1000);
	assert_int_equal(health.state, HEALTH_UP);
	assert_in_range(share_of(&health, 1000), 90, 110);
	assert_in_range(share_of(&health, 6000), 540, 560);
	assert_int_equal(share_of(&health, 11000), 1000);
	assert_int_equal(health_admit(&health, &limits, 1000, UINT32_MAX), HEALTH_RANK_WARMING);
}

static void test_a_target_that_was_never_down_has_its_full_share(void **state)
{
	struct health health = {0};
	(void)state;
	assert_int_equal(share_of(&health, 1), 1000);
}

static void test_a_slow_start_ends(void **state)
{
	struct health health = {.state = HEALTH_PROBING, .successes = 1};
	(void)state;
	health_event(&health, HEALTH_PROBE_OK, &limits, 1000);
	assert_int_equal(health_tick(&health, &limits, 10999), 0);
	assert_true(health.warming);
	assert_int_equal(health_tick(&health, &limits, 11000), 0);
	assert_false(health.warming);
}

static void test_without_a_slow_start_the_share_is_full_at_once(void **state)
{
	struct health health = {.state = HEALTH_DOWN};
	(void)state;
	health_event(&health, HEALTH_PROBE_OK, &eager, 5);
	assert_int_equal(health_admit(&health, &eager, 5, UINT32_MAX), HEALTH_RANK_USABLE);
}

static void test_three_answers_fail(void **state)
{
	(void)state;
	for (int status = 100; status < 700; status++)
		assert_int_equal(health_status_fails(status), status == 408 || status == 503 || status == 504);
}

/* ------- a random walk against a model ------- */

static uint32_t walk_state;

static uint32_t chance(void)
{
	walk_state ^= walk_state << 13;
	walk_state ^= walk_state >> 17;
	walk_state ^= walk_state << 5;
	return walk_state;
}

/* Remembers the results since the state began, and counts them anew each time: no counter of its own to be wrong. */
struct model {
	enum health_state state;
	bool results[4096];
	size_t count;
};

static size_t tail_of(const struct model *model, bool result)
{
	size_t n = 0;
	while (n < model->count && model->results[model->count - 1 - n] == result)
		n++;
	return n;
}

static void model_enter(struct model *model, enum health_state state, bool keep)
{
	model->state = state;
	if (!keep)
		model->count = 0;
}

static void model_event(struct model *model, enum health_event event, const struct health_limits *given)
{
	bool good = event == HEALTH_PROBE_OK || event == HEALTH_CALL_OK;
	bool at_once = event == HEALTH_PROBE_REFUSED || event == HEALTH_CALL_REFUSED;
	if (model->count == sizeof(model->results))
		model->count = 0;
	model->results[model->count++] = good;
	switch (model->state) {
	case HEALTH_UP:
		if (!good && (at_once || tail_of(model, false) >= given->down_after))
			model_enter(model, HEALTH_DOWN, false);
		break;
	case HEALTH_DOWN:
		if (good)
			model_enter(model, given->up_after <= 1 ? HEALTH_UP : HEALTH_PROBING, given->up_after > 1);
		break;
	case HEALTH_PROBING:
		if (!good)
			model_enter(model, HEALTH_DOWN, false);
		else if (tail_of(model, true) >= given->up_after)
			model_enter(model, HEALTH_UP, false);
		break;
	}
}

static void check_step(const struct health *before, const struct health *after, int changed, uint64_t now_ms)
{
	assert_int_equal(changed, before->state != after->state);
	assert_int_equal(after->since_ms, changed ? now_ms : before->since_ms);
	/* the one way up is through answers, the one way into half-open is from down */
	if (changed && after->state == HEALTH_PROBING)
		assert_int_equal(before->state, HEALTH_DOWN);
}

static void walk(const struct health_limits *given, size_t steps, bool visited[3][3])
{
	struct health health = {.answers_probes = true};
	struct model model = {0};
	uint64_t now_ms = 1;
	for (size_t i = 0; i < steps; i++) {
		struct health before = health;
		/* runs of the same kind, so that long thresholds are reached */
		bool good = (chance() >> 20) % 8 < ((i >> 4) % 2 ? 7u : 1u);
		enum health_event event =
			good ? (chance() % 2 ? HEALTH_PROBE_OK : HEALTH_CALL_OK)
			     : (enum health_event[]){HEALTH_PROBE_FAILED, HEALTH_CALL_FAILED,  HEALTH_CALL_FAILED,
						     HEALTH_PROBE_FAILED, HEALTH_PROBE_FAILED, HEALTH_CALL_REFUSED,
						     HEALTH_PROBE_FAILED, HEALTH_PROBE_REFUSED}[(chance() >> 8) % 8];
		now_ms += chance() % 3000;
		int changed = health_event(&health, event, given, now_ms);
		model_event(&model, event, given);
		check_step(&before, &health, changed, now_ms);
		assert_int_equal(health.state, model.state);
		visited[before.state][health.state] = true;
		assert_int_equal(health_tick(&health, given, now_ms), 0);
		if (health_probe_due(&health, given, now_ms))
			assert_in_range(health.next_probe_ms - now_ms, 1, given->probe_interval_ms);
		enum health_rank rank = health_admit(&health, given, now_ms, chance());
		assert_int_equal(rank == HEALTH_RANK_DEAD, health.state == HEALTH_DOWN);
		assert_int_equal(rank == HEALTH_RANK_HALF_OPEN, health.state == HEALTH_PROBING);
	}
}

static void test_random_walks_agree_with_the_model(void **state)
{
	bool visited[3][3] = {{false}};
	(void)state;
	for (uint32_t seed = 1; seed <= 200; seed++) {
		struct health_limits given = {.down_after = (uint8_t)(1 + seed % 5),
					      .up_after = (uint8_t)(1 + seed % 4),
					      .probe_interval_ms = 1000 + seed * 37,
					      .retry_ms = 30000,
					      .slow_start_ms = seed * 100};
		walk_state = seed * 2654435761u;
		walk(&given, 2000, visited);
	}
	for (int from = 0; from < 3; from++)
		for (int to = 0; to < 3; to++)
			assert_int_equal(visited[from][to], !(from == HEALTH_UP && to == HEALTH_PROBING));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_edge_of_the_chart),
		cmocka_unit_test(test_up_after_1_skips_probing),
		cmocka_unit_test(test_a_success_forgets_failures_and_a_failure_successes),
		cmocka_unit_test(test_counters_do_not_wrap),
		cmocka_unit_test(test_without_probes_down_becomes_probing_after_the_retry_time),
		cmocka_unit_test(test_half_open_without_probes_gives_one_trial_call_a_second),
		cmocka_unit_test(test_with_probes_time_alone_changes_nothing),
		cmocka_unit_test(test_silence_to_a_probe_says_nothing_if_only_calls_were_ever_answered),
		cmocka_unit_test(test_silence_to_a_probe_counts_if_one_was_ever_answered),
		cmocka_unit_test(test_a_refused_probe_counts_in_any_case),
		cmocka_unit_test(test_probes_keep_a_clock_that_does_not_drift),
		cmocka_unit_test(test_missed_probes_are_not_made_up_for),
		cmocka_unit_test(test_half_open_is_probed_each_second),
		cmocka_unit_test(test_probing_off_sends_none),
		cmocka_unit_test(test_share_grows_after_a_recovery),
		cmocka_unit_test(test_a_target_that_was_never_down_has_its_full_share),
		cmocka_unit_test(test_a_slow_start_ends),
		cmocka_unit_test(test_without_a_slow_start_the_share_is_full_at_once),
		cmocka_unit_test(test_three_answers_fail),
		cmocka_unit_test(test_random_walks_agree_with_the_model),
	};
	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
