/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>

#include "number_table.h"

struct fixture {
	void *memory;
	struct region *region;
	struct number_table *table;
};

static int set_up(void **state)
{
	static struct fixture fixture;
	fixture = (struct fixture){.memory = unit_region_memory(region_size_default)};
	assert_int_equal(region_format(fixture.memory, region_size_default, &fixture.region), 0);
	assert_int_equal(number_table_new(fixture.region, 0, &fixture.table), 0);
	*state = &fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	number_table_free(f->table);
	munmap(f->memory, region_size_default);
	return 0;
}

static void test_nothing_is_seen_before_publish(void **state)
{
	struct fixture *f = *state;
	struct attribute_set set;
	assert_int_equal(number_table_add_set(f->table, 1, 1, SPAN_LIT("acme"), SPAN_LIT("gold")), 0);
	assert_int_equal(number_table_put(f->table, 15551230001, 1), 0);
	assert_int_equal(number_table_find(f->region, 15551230001, &set), -EAGAIN);
	number_table_publish(f->table);
	assert_int_equal(number_table_find(f->region, 15551230001, &set), 0);
	assert_int_equal(set.id, 1);
	assert_int_equal(set.service, 1);
	assert_string_equal(set.account, "acme");
	assert_string_equal(attribute_set_header(&set), "gold");
	assert_int_equal(number_table_find(f->region, 15551230002, &set), -ENOENT);
	assert_int_equal(number_table_set(f->region, 1, &set), 0);
	assert_int_equal(number_table_set(f->region, 2, &set), -ENOENT);
	assert_int_equal(number_table_set(f->region, 0, &set), -ENOENT);
	assert_int_equal(number_table_set(f->region, UINT32_MAX, &set), -ENOENT);
}

static void test_change_and_delete_are_seen_at_once(void **state)
{
	struct fixture *f = *state;
	struct attribute_set set;
	number_table_add_set(f->table, 1, 1, SPAN_LIT("acme"), SPAN_LIT(""));
	number_table_add_set(f->table, 2, 4, SPAN_LIT("bolt"), SPAN_LIT("silver"));
	number_table_publish(f->table);
	number_table_put(f->table, 44123, 1);
	assert_int_equal(number_table_find(f->region, 44123, &set), 0);
	assert_string_equal(attribute_set_header(&set), "");
	number_table_put(f->table, 44123, 2);
	assert_int_equal(number_table_find(f->region, 44123, &set), 0);
	assert_string_equal(set.account, "bolt");
	assert_int_equal(number_table_count(f->region), 1);
	number_table_delete(f->table, 44123);
	number_table_delete(f->table, 44123);
	assert_int_equal(number_table_find(f->region, 44123, &set), -ENOENT);
	assert_int_equal(number_table_count(f->region), 0);
	number_table_put(f->table, 44123, 1);
	assert_int_equal(number_table_find(f->region, 44123, &set), 0);
	number_table_drop_set(f->table, 1);
	assert_int_equal(number_table_find(f->region, 44123, &set), -ENOENT);
}

static void test_longest_names_fit_and_longer_ones_do_not(void **state)
{
	struct fixture *f = *state;
	struct attribute_set set;
	char text[FIELD_NAME_MAX + 1];
	memset(text, 'x', sizeof(text));
	struct span longest = {text, FIELD_NAME_MAX}, longer = {text, FIELD_NAME_MAX + 1};
	assert_int_equal(number_table_add_set(f->table, 1, 1, longest, longest), 0);
	assert_int_equal(number_table_add_set(f->table, 2, 1, longer, longest), -EINVAL);
	assert_int_equal(number_table_add_set(f->table, 2, 1, longest, longer), -EINVAL);
	assert_int_equal(number_table_add_set(f->table, 0, 1, longest, longest), -EINVAL);
	assert_int_equal(number_table_add_set(f->table, UINT32_MAX, 1, longest, longest), -ENOSPC);
	number_table_publish(f->table);
	assert_int_equal(number_table_set(f->region, 1, &set), 0);
	assert_int_equal(strlen(set.account), FIELD_NAME_MAX);
	assert_int_equal(strlen(attribute_set_header(&set)), FIELD_NAME_MAX);
}

/* The region is too small for two tables of that size. */
static void test_full_table_that_cannot_grow_says_so_and_keeps_what_it_has(void **state)
{
	struct fixture *f = *state;
	struct attribute_set set;
	struct number_table *full;
	uint64_t count = 0;
	number_table_publish(f->table);
	assert_int_equal(number_table_new(f->region, 1000, &full), 0);
	number_table_add_set(full, 1, 1, SPAN_LIT("acme"), SPAN_LIT(""));
	while (number_table_put(full, 1000 + count, 1) == 0) /* not published, so it does not grow */
		count++;
	assert_in_range(count, 1000, 1200);
	assert_int_equal(number_table_put(full, 1000, 1), 0);
	number_table_publish(full);
	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(number_table_find(f->region, 1000 + i, &set), 0);
	number_table_free(full);
}

/* Sets, ranges, deleted and changed numbers of before, during and after. */
static void test_published_table_grows_by_itself(void **state)
{
	enum { NUMBERS = 40000 };
	struct fixture *f = *state;
	struct attribute_set set;
	const struct number_range range = {900, 999, 3};
	number_table_publish(f->table);
	number_table_add_set(f->table, 3, 1, SPAN_LIT("range"), SPAN_LIT(""));
	number_table_set_ranges(f->table, &range, 1);
	for (uint32_t i = 0; i < NUMBERS; i++) {
		uint32_t id = 10 + i / 7;
		assert_int_equal(number_table_add_set(f->table, id, 1, SPAN_LIT("acme"), SPAN_LIT("gold")), 0);
		assert_int_equal(number_table_put(f->table, 1000 + i, id), 0);
		if (i % 5 == 4)
			number_table_delete(f->table, 1000 + i - 4);
		if (i % 5 == 3)
			assert_int_equal(number_table_put(f->table, 1000 + i - 2, 3), 0);
		assert_int_equal(number_table_find(f->region, 950, &set), 0);
	}
	assert_int_equal(number_table_count(f->region), NUMBERS / 5 * 4);
	for (uint32_t i = 0; i < NUMBERS; i++) {
		int found = number_table_find(f->region, 1000 + i, &set);
		assert_int_equal(found, i % 5 == 0 ? -ENOENT : 0);
		if (found == 0)
			assert_int_equal(set.id, i % 5 == 1 ? 3 : 10 + i / 7);
	}
}

static void test_copy_has_all_and_is_seen_when_published(void **state)
{
	struct fixture *f = *state;
	struct attribute_set set;
	const struct number_range range = {900, 999, 2};
	struct number_table *copy;
	number_table_add_set(f->table, 1, 1, SPAN_LIT("acme"), SPAN_LIT("gold"));
	number_table_add_set(f->table, 2, 1, SPAN_LIT("bolt"), SPAN_LIT(""));
	number_table_set_ranges(f->table, &range, 1);
	for (uint64_t i = 0; i < 500; i++)
		assert_int_equal(number_table_put(f->table, 1000 + i, 1), 0);
	number_table_delete(f->table, 1001);
	number_table_publish(f->table);
	assert_int_equal(number_table_copy(f->table, 5000, &copy), 0);
	assert_int_equal(number_table_size(copy), 499);
	assert_int_equal(number_table_add_set(copy, 3, 1, SPAN_LIT("core"), SPAN_LIT("")), 0);
	for (uint64_t i = 0; i < 4000; i++)
		assert_int_equal(number_table_put(copy, 2000 + i, 3), 0);
	assert_int_equal(number_table_find(f->region, 2000, &set), -ENOENT);
	number_table_publish(copy);
	assert_int_equal(number_table_find(f->region, 1000, &set), 0);
	assert_string_equal(attribute_set_header(&set), "gold");
	assert_int_equal(number_table_find(f->region, 1001, &set), -ENOENT);
	assert_int_equal(number_table_find(f->region, 2000, &set), 0);
	assert_string_equal(set.account, "core");
	assert_int_equal(number_table_find(f->region, 950, &set), 0);
	assert_int_equal(set.id, 2);
	assert_int_equal(number_table_count(f->region), 4499);
	number_table_free(copy);
}

/* What was copied so far was taken away by another table, which was then given up: it must begin again. */
static void test_growth_begins_again_after_a_table_was_begun_in_its_place(void **state)
{
	enum { NUMBERS = 200000, BEFORE_GROWTH = 9757 };
	struct fixture *f = *state;
	struct attribute_set set;
	struct number_table *other, *large;
	uint64_t i = 0;
	number_table_publish(f->table);
	assert_int_equal(number_table_new(f->region, NUMBERS, &large), 0);
	number_table_add_set(large, 1, 1, SPAN_LIT("acme"), SPAN_LIT(""));
	while (i < NUMBERS)
		assert_int_equal(number_table_put(large, 100000 + i++, 1), 0);
	number_table_publish(large);
	while (i < NUMBERS + BEFORE_GROWTH + 5) /* some pieces are copied */
		assert_int_equal(number_table_put(large, 100000 + i++, 1), 0);
	assert_int_equal(number_table_new(f->region, 0, &other), 0);
	number_table_add_set(other, 5, 1, SPAN_LIT("other"), SPAN_LIT(""));
	assert_int_equal(number_table_put(other, 77, 5), 0);
	number_table_free(other);
	while (i < NUMBERS + 2 * BEFORE_GROWTH)
		assert_int_equal(number_table_put(large, 100000 + i++, 1), 0);
	assert_int_equal(number_table_count(f->region), i);
	while (i-- > 0)
		assert_int_equal(number_table_find(f->region, 100000 + i, &set), 0);
	assert_int_equal(number_table_find(f->region, 77, &set), -ENOENT);
	number_table_free(large);
}

static void test_half_built_table_of_a_killed_writer_leaves_no_trace(void **state)
{
	struct fixture *f = *state;
	struct attribute_set set;
	number_table_add_set(f->table, 7, 1, SPAN_LIT("ghost"), SPAN_LIT(""));
	number_table_put(f->table, 4999, 7);
	struct number_table *next;
	assert_int_equal(number_table_new(f->region, 0, &next), 0);
	number_table_publish(next);
	assert_int_equal(number_table_find(f->region, 4999, &set), -ENOENT);
	assert_int_equal(number_table_set(f->region, 7, &set), -ENOENT);
	assert_int_equal(number_table_count(f->region), 0);
	number_table_free(next);
}

static void test_table_larger_than_the_region_is_refused(void **state)
{
	struct fixture *f = *state;
	struct number_table *table;
	assert_int_equal(number_table_new(f->region, (uint64_t)1 << 40, &table), -ENOSPC);
}

/* Random operations against a plain array. */
/* With a sum that is right, as whoever writes a snapshot can make it. */
static void test_image_without_a_free_place_is_refused(void **state)
{
	struct fixture *f = *state;
	struct number_image image = {.size = {64 * 128, 8, 64}};
	for (int full = 0; full <= 1; full++) {
		struct number_table *table;
		assert_int_equal(number_image_new(f->region, &image, &table), 0);
		memset(number_image_room(table, NUMBER_IMAGE_BUCKETS), full, image.size[NUMBER_IMAGE_BUCKETS]);
		assert_int_equal(number_image_end(table, &image), full ? -EINVAL : 0);
		number_table_free(table);
	}
}

static void test_table_agrees_with_a_plain_model(void **state)
{
	enum { NUMBERS = 700, STEPS = 200000 };
	struct fixture *f = *state;
	struct attribute_set set;
	uint32_t model[NUMBERS] = {0};
	srand(7);
	for (uint32_t id = 1; id <= 8; id++)
		number_table_add_set(f->table, id, 1, SPAN_LIT("a"), SPAN_LIT(""));
	number_table_publish(f->table);
	for (int step = 0; step < STEPS; step++) {
		unsigned n = (unsigned)rand() % NUMBERS;
		uint64_t e164 = 100000000000000 + n * 977;
		uint32_t id = (uint32_t)rand() % 8 + 1;
		if (rand() % 3 == 0) {
			number_table_delete(f->table, e164);
			model[n] = 0;
		} else if (number_table_put(f->table, e164, id) == 0) {
			model[n] = id;
		} else {
			struct number_table *next;
			assert_int_equal(number_table_new(f->region, NUMBERS, &next), 0);
			for (uint32_t k = 1; k <= 8; k++)
				number_table_add_set(next, k, 1, SPAN_LIT("a"), SPAN_LIT(""));
			for (unsigned k = 0; k < NUMBERS; k++)
				if (model[k])
					number_table_put(next, 100000000000000 + k * 977, model[k]);
			number_table_publish(next);
			number_table_free(f->table);
			f->table = next;
		}
		n = (unsigned)rand() % NUMBERS;
		int found = number_table_find(f->region, 100000000000000 + n * 977, &set);
		assert_int_equal(found, model[n] ? 0 : -ENOENT);
		if (found == 0)
			assert_int_equal(set.id, model[n]);
	}
}

static void add_sets(struct number_table *table, uint32_t count)
{
	for (uint32_t id = 1; id <= count; id++)
		assert_int_equal(number_table_add_set(table, id, 1, SPAN_LIT("a"), SPAN_LIT("")), 0);
}

static uint32_t set_at(const struct region *region, uint64_t e164)
{
	struct attribute_set set;
	return number_table_find(region, e164, &set) ? 0 : set.id;
}

static void test_exact_number_beats_range_and_narrower_range_wider(void **state)
{
	struct fixture *f = *state;
	const struct number_range ranges[] = {
		{4400, 4499, 1}, {4410, 4419, 2}, {4415, 4415, 3}, {4490, 4499, 4}, {5000, 5000, 5}};
	add_sets(f->table, 6);
	number_table_put(f->table, 4416, 6);
	number_table_publish(f->table);
	assert_int_equal(number_table_set_ranges(f->table, ranges, 5), 0);
	static const struct {
		uint64_t e164;
		uint32_t set;
	} rows[] = {{4399, 0}, {4400, 1}, {4409, 1}, {4410, 2}, {4415, 3}, {4416, 6}, {4417, 2}, {4419, 2},
		    {4420, 1}, {4489, 1}, {4490, 4}, {4499, 4}, {4500, 0}, {4999, 0}, {5000, 5}, {5001, 0}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(set_at(f->region, rows[i].e164), rows[i].set);
	assert_int_equal(number_table_set_ranges(f->table, NULL, 0), 0);
	assert_int_equal(set_at(f->region, 4400), 0);
	assert_int_equal(set_at(f->region, 4416), 6);
}

static void test_ranges_that_overlap_in_part_are_refused_and_the_old_ones_stay(void **state)
{
	struct fixture *f = *state;
	const struct number_range good[] = {{100, 199, 1}};
	const struct number_range partial[] = {{100, 199, 1}, {150, 250, 2}};
	const struct number_range upside_down[] = {{200, 100, 1}};
	add_sets(f->table, 2);
	number_table_publish(f->table);
	assert_int_equal(number_table_set_ranges(f->table, good, 1), 0);
	assert_int_equal(number_table_set_ranges(f->table, partial, 2), -EINVAL);
	assert_int_equal(number_table_set_ranges(f->table, upside_down, 1), -EINVAL);
	assert_int_equal(set_at(f->region, 150), 1);
}

static void test_ranges_nested_too_deep_are_refused(void **state)
{
	struct fixture *f = *state;
	struct number_range ranges[NUMBER_RANGE_DEPTH + 1];
	for (uint64_t i = 0; i <= NUMBER_RANGE_DEPTH; i++)
		ranges[i] = (struct number_range){1000 + i, 2000 - i, 1};
	add_sets(f->table, 1);
	assert_int_equal(number_table_set_ranges(f->table, ranges, NUMBER_RANGE_DEPTH), 0);
	assert_int_equal(number_table_set_ranges(f->table, ranges, NUMBER_RANGE_DEPTH + 1), -E2BIG);
}

/* Draws ranges that nest or stand apart, and asks for every number of a small world. */
static void test_ranges_agree_with_a_plain_model(void **state)
{
	enum { WORLD = 400, TRIES = 60 };
	struct fixture *f = *state;
	add_sets(f->table, TRIES);
	number_table_publish(f->table);
	srand(11);
	for (int round = 0; round < 300; round++) {
		struct number_range ranges[TRIES];
		size_t count = 0;
		for (uint32_t try = 1; try <= TRIES; try++) {
			uint64_t first = 1000 + (uint64_t)rand() % WORLD, last = first + (uint64_t)rand() % 60;
			bool fits = last < 1000 + WORLD;
			for (size_t i = 0; i < count && fits; i++) {
				const struct number_range *r = &ranges[i];
				bool apart = last < r->first || first > r->last;
				bool inside = first >= r->first && last <= r->last,
				     around = first <= r->first && last >= r->last;
				fits = apart || ((inside || around) && !(inside && around));
			}
			size_t at = count;
			for (; fits && at > 0 &&
			       (ranges[at - 1].first > first ||
				(ranges[at - 1].first == first && ranges[at - 1].last < last));
			     at--)
				ranges[at] = ranges[at - 1];
			if (fits) {
				ranges[at] = (struct number_range){first, last, try};
				count++;
			}
		}
		assert_int_equal(number_table_set_ranges(f->table, ranges, count), 0);
		for (uint64_t e164 = 990; e164 < 1010 + WORLD; e164++) {
			const struct number_range *narrowest = NULL;
			for (size_t i = 0; i < count; i++)
				if (ranges[i].first <= e164 && e164 <= ranges[i].last &&
				    (!narrowest ||
				     ranges[i].last - ranges[i].first < narrowest->last - narrowest->first))
					narrowest = &ranges[i];
			assert_int_equal(set_at(f->region, e164), narrowest ? narrowest->set : 0);
		}
	}
}

/* More than one level of the index, at each number of segments around a full node. */
static void test_many_ranges_are_found_at_their_edges(void **state)
{
	enum { MOST = 3000 };
	struct fixture *f = *state;
	struct number_range *ranges = calloc(MOST, sizeof(*ranges));
	add_sets(f->table, 7);
	number_table_publish(f->table);
	for (uint64_t i = 0; i < MOST; i++)
		ranges[i] = (struct number_range){10000 + i * 10, 10000 + i * 10 + 6, (uint32_t)(i % 7 + 1)};
	for (size_t count = 1; count <= MOST; count += count < 100 ? 1 : 97) {
		assert_int_equal(number_table_set_ranges(f->table, ranges, count), 0);
		for (size_t i = 0; i < count; i++) {
			assert_int_equal(set_at(f->region, ranges[i].first - 1), 0);
			assert_int_equal(set_at(f->region, ranges[i].first), ranges[i].set);
			assert_int_equal(set_at(f->region, ranges[i].last), ranges[i].set);
			assert_int_equal(set_at(f->region, ranges[i].last + 1), 0);
		}
	}
	free(ranges);
}

struct reading {
	const struct region *region;
	_Atomic bool stop;
	_Atomic uint64_t looked, wrong;
};

/* Number n always has set n % 8 + 1, and is never taken away: a reader must always find just that. */
static void *read_on(void *context)
{
	struct reading *reading = context;
	struct attribute_set set;
	for (uint64_t n = 0; !atomic_load(&reading->stop); n = (n + 1) % 500) {
		if (number_table_find(reading->region, 1000 + n, &set) || set.id != n % 8 + 1 ||
		    set.account[0] != (char)('a' + n % 8))
			atomic_fetch_add(&reading->wrong, 1);
		atomic_fetch_add(&reading->looked, 1);
	}
	return NULL;
}

static struct number_table *build_500(struct region *region)
{
	struct number_table *table;
	assert_int_equal(number_table_new(region, 500, &table), 0);
	for (uint32_t id = 1; id <= 8; id++)
		number_table_add_set(table, id, 1, (struct span){(char[]){(char)('a' + id - 1)}, 1}, SPAN_LIT(""));
	for (uint64_t n = 0; n < 500; n++)
		assert_int_equal(number_table_put(table, 1000 + n, (uint32_t)(n % 8 + 1)), 0);
	return table;
}

static void test_readers_always_find_what_is_there_while_tables_are_swapped(void **state)
{
	struct fixture *f = *state;
	struct reading reading = {.region = f->region};
	pthread_t thread;
	number_table_publish(f->table);
	number_table_free(f->table);
	f->table = build_500(f->region);
	number_table_publish(f->table);
	assert_int_equal(pthread_create(&thread, NULL, read_on, &reading), 0);
	for (int round = 0; round < 300 || atomic_load(&reading.looked) < 100000; round++) {
		struct number_table *next = build_500(f->region);
		number_table_publish(next);
		number_table_free(f->table);
		f->table = next;
		number_table_put(f->table, 500000, 1);
		number_table_delete(f->table, 500000);
	}
	atomic_store(&reading.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(reading.wrong, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_is_seen_before_publish),
		TEST(test_change_and_delete_are_seen_at_once),
		TEST(test_longest_names_fit_and_longer_ones_do_not),
		TEST(test_full_table_that_cannot_grow_says_so_and_keeps_what_it_has),
		TEST(test_published_table_grows_by_itself),
		TEST(test_copy_has_all_and_is_seen_when_published),
		TEST(test_growth_begins_again_after_a_table_was_begun_in_its_place),
		TEST(test_half_built_table_of_a_killed_writer_leaves_no_trace),
		TEST(test_table_larger_than_the_region_is_refused),
		TEST(test_image_without_a_free_place_is_refused),
		TEST(test_table_agrees_with_a_plain_model),
		TEST(test_exact_number_beats_range_and_narrower_range_wider),
		TEST(test_ranges_that_overlap_in_part_are_refused_and_the_old_ones_stay),
		TEST(test_ranges_nested_too_deep_are_refused),
		TEST(test_ranges_agree_with_a_plain_model),
		TEST(test_many_ranges_are_found_at_their_edges),
		TEST(test_readers_always_find_what_is_there_while_tables_are_swapped),
	};
	return cmocka_run_group_tests_name("number_table", tests, NULL, NULL);
}
