/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "peer_choice.h"

static uint32_t random_state = 1;

/* xorshift32: even enough for counting, the same in each run */
static uint32_t chance(void *context)
{
	(void)context;
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

static uint32_t highest(void *context)
{
	(void)context;
	return UINT32_MAX;
}

static void test_ranks_come_first_then_priorities(void **state)
{
	struct candidate peers[] = {
		{.target = 1, .peer = 1, .priority = 0, .weight = 1, .rank = HEALTH_RANK_DEAD},
		{.target = 2, .peer = 2, .priority = 2, .weight = 1, .rank = HEALTH_RANK_USABLE},
		{.target = 3, .peer = 3, .priority = 1, .weight = 1, .rank = HEALTH_RANK_USABLE},
		{.target = 4, .peer = 4, .priority = 1, .weight = 1, .rank = HEALTH_RANK_DEAD},
		{.target = 5, .peer = 5, .priority = 0, .weight = 1, .rank = HEALTH_RANK_HALF_OPEN},
		{.target = 6, .peer = 6, .priority = 3, .weight = 1, .rank = HEALTH_RANK_WARMING},
	};
	static const uint32_t wanted[] = {3, 2, 6, 5, 1, 4};
	(void)state;
	peer_choice_order(peers, 6, chance, NULL);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(peers[i].target, wanted[i]);
}

static void test_weight_is_honoured_within_a_priority(void **state)
{
	unsigned first[4] = {0}, second_after_2[4] = {0};
	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct candidate peers[] = {
			{.target = 1, .peer = 1, .weight = 10},
			{.target = 2, .peer = 2, .weight = 60},
			{.target = 3, .peer = 3, .weight = 30},
		};
		peer_choice_order(peers, 3, chance, NULL);
		first[peers[0].peer]++;
		if (peers[0].peer == 2)
			second_after_2[peers[1].peer]++;
	}
	assert_in_range(first[1], 9600, 10400);
	assert_in_range(first[2], 59400, 60600);
	assert_in_range(first[3], 29400, 30600);
	/* those that are left share by their weights: 10 to 30 */
	assert_in_range(second_after_2[1] * 1000 / (second_after_2[1] + second_after_2[3]), 240, 260);
}

static void test_a_peers_weight_counts_once_however_many_targets_it_has(void **state)
{
	unsigned first[3] = {0};
	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct candidate peers[] = {
			{.target = 1, .peer = 1, .weight = 50}, {.target = 2, .peer = 2, .weight = 50},
			{.target = 3, .peer = 2, .weight = 50}, {.target = 4, .peer = 2, .weight = 50},
			{.target = 5, .peer = 2, .weight = 50},
		};
		peer_choice_order(peers, 5, chance, NULL);
		first[peers[0].peer]++;
	}
	assert_in_range(first[1], 9600, 10400);
}

static void test_srv_priority_and_weight_order_the_targets_of_a_peer(void **state)
{
	unsigned first[6] = {0};
	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct candidate peers[] = {
			{.target = 1, .peer = 2, .srv_priority = 20, .srv_weight = 100},
			{.target = 2, .peer = 2, .srv_priority = 10, .srv_weight = 75},
			{.target = 3, .peer = 2, .srv_priority = 10, .srv_weight = 25},
			{.target = 4, .peer = 1, .priority = 1, .srv_priority = 5, .srv_weight = 1},
			{.target = 5, .peer = 2, .srv_priority = 1, .rank = HEALTH_RANK_DEAD},
		};
		peer_choice_order(peers, 5, chance, NULL);
		first[peers[0].target]++;
		assert_int_equal(peers[0].target + peers[1].target, 5);
		assert_int_equal(peers[2].target, 1);
		assert_int_equal(peers[3].target, 4);
		assert_int_equal(peers[4].target, 5);
	}
	assert_in_range(first[2], 14700, 15300);
}

static void test_weight_0_is_chosen_seldom_but_kept(void **state)
{
	unsigned first = 0;
	(void)state;
	for (int i = 0; i < 10000; i++) {
		struct candidate peers[] = {{.target = 1, .peer = 1, .weight = 0},
					    {.target = 2, .peer = 2, .weight = 100}};
		peer_choice_order(peers, 2, chance, NULL);
		first += peers[0].peer == 1;
		assert_int_equal(peers[0].peer + peers[1].peer, 3);
	}
	assert_in_range(first, 1, 300);
}

static void test_every_target_is_kept_exactly_once(void **state)
{
	(void)state;
	for (size_t count = 0; count <= 64; count++) {
		struct candidate peers[64];
		uint64_t seen = 0;
		for (size_t i = 0; i < count; i++)
			peers[i] = (struct candidate){
				.target = (uint32_t)i,
				.peer = (uint32_t)i / 3,
				.priority = (uint8_t)(i / 3 % 3),
				.weight = (uint16_t)(i % 4 ? 100 : 0),
				.srv_priority = (uint16_t)(chance(NULL) % 2),
				.srv_weight = (uint16_t)(chance(NULL) % 4 ? chance(NULL) : 0),
				.rank = (enum health_rank)(chance(NULL) % 4),
			};
		peer_choice_order(peers, count, count % 2 ? highest : chance, NULL);
		for (size_t i = 0; i < count; i++)
			seen |= 1ull << peers[i].target;
		assert_true(seen == (count == 64 ? UINT64_MAX : (1ull << count) - 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranks_come_first_then_priorities),
		cmocka_unit_test(test_weight_is_honoured_within_a_priority),
		cmocka_unit_test(test_a_peers_weight_counts_once_however_many_targets_it_has),
		cmocka_unit_test(test_srv_priority_and_weight_order_the_targets_of_a_peer),
		cmocka_unit_test(test_weight_0_is_chosen_seldom_but_kept),
		cmocka_unit_test(test_every_target_is_kept_exactly_once),
	};
	return cmocka_run_group_tests_name("peer_choice", tests, NULL, NULL);
}
