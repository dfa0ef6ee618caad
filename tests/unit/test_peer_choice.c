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

static void test_healthy_peers_come_by_priority_and_dead_ones_last(void **state)
{
	struct candidate peers[] = {
		{.peer = 1, .priority = 0, .weight = 1, .healthy = false},
		{.peer = 2, .priority = 2, .weight = 1, .healthy = true},
		{.peer = 3, .priority = 1, .weight = 1, .healthy = true},
		{.peer = 4, .priority = 1, .weight = 1, .healthy = false},
	};
	(void)state;
	peer_choice_order(peers, 4, chance, NULL);
	assert_int_equal(peers[0].peer, 3);
	assert_int_equal(peers[1].peer, 2);
	assert_int_equal(peers[2].peer, 1);
	assert_int_equal(peers[3].peer, 4);
}

static void test_weight_is_honoured_within_a_priority(void **state)
{
	unsigned first[4] = {0};
	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct candidate peers[] = {
			{.peer = 1, .weight = 10, .healthy = true},
			{.peer = 2, .weight = 60, .healthy = true},
			{.peer = 3, .weight = 30, .healthy = true},
		};
		peer_choice_order(peers, 3, chance, NULL);
		first[peers[0].peer]++;
	}
	assert_in_range(first[1], 9000, 11500);
	assert_in_range(first[2], 57500, 62000);
	assert_in_range(first[3], 28000, 32000);
}

static void test_weight_0_is_chosen_seldom_but_kept(void **state)
{
	unsigned first = 0;
	(void)state;
	for (int i = 0; i < 10000; i++) {
		struct candidate peers[] = {{.peer = 1, .weight = 0, .healthy = true},
					    {.peer = 2, .weight = 100, .healthy = true}};
		peer_choice_order(peers, 2, chance, NULL);
		first += peers[0].peer == 1;
		assert_int_equal(peers[0].peer + peers[1].peer, 3);
	}
	assert_in_range(first, 1, 300);
}

static void test_every_peer_is_kept_exactly_once(void **state)
{
	(void)state;
	for (size_t count = 0; count <= 64; count++) {
		struct candidate peers[64];
		uint64_t seen = 0;
		for (size_t i = 0; i < count; i++)
			peers[i] = (struct candidate){
				.peer = (uint32_t)i,
				.priority = (uint8_t)(chance(NULL) % 3),
				.weight = (uint16_t)(chance(NULL) % 4 ? chance(NULL) : 0),
				.healthy = chance(NULL) % 2,
			};
		peer_choice_order(peers, count, count % 2 ? highest : chance, NULL);
		for (size_t i = 0; i < count; i++)
			seen |= 1ull << peers[i].peer;
		assert_true(seen == (count == 64 ? UINT64_MAX : (1ull << count) - 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_healthy_peers_come_by_priority_and_dead_ones_last),
		cmocka_unit_test(test_weight_is_honoured_within_a_priority),
		cmocka_unit_test(test_weight_0_is_chosen_seldom_but_kept),
		cmocka_unit_test(test_every_peer_is_kept_exactly_once),
	};
	return cmocka_run_group_tests_name("peer_choice", tests, NULL, NULL);
}
