/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The number table against a plain reference, with readers running all the time. What a reader sees must have been true
 * at some moment between the start and the end of its look-up. Built with the thread sanitiser where that is there.
 */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "number_table.h"

enum { NUMBERS = 250, FIRST = 1000, HISTORY = 64, RANGES_MAX = 12, READERS = 3, SETS_FIRST = 40 };

#ifdef __SANITIZE_THREAD__
enum { STEPS = 5000 };
#else
enum { STEPS = 40000 };
#endif

/* Each version of what a number's look-up gives; begun runs ahead of done while a change is made. */
struct truth {
	_Atomic uint32_t value[HISTORY];
	_Atomic uint64_t begun, done;
};

static struct world {
	struct region *region;
	struct number_table *table;
	struct truth truth[NUMBERS];
	_Atomic bool stop;
	/* the writer's own */
	uint32_t exact[NUMBERS], sets;
	struct number_range ranges[RANGES_MAX];
	size_t range_count;
} world;

struct reader {
	pthread_t thread;
	unsigned random;
	uint64_t looked, wrong;
};

static unsigned draw(unsigned *random, unsigned below)
{
	*random = *random * 1103515245 + 12345;
	return (*random >> 8) % below;
}

/* --- readers --- */

static bool set_right(const struct attribute_set *set)
{
	char account[32], header[64];
	snprintf(account, sizeof(account), "account-%u", (unsigned)set->id);
	snprintf(header, sizeof(header), "%0*u", (int)(set->id % 40), (unsigned)set->id * 7);
	return set->service == set->id % 4 + 1 && strcmp(set->account, account) == 0 &&
	       strcmp(attribute_set_header(set), header) == 0;
}

/* False: none of the versions from @p from to @p to was that. */
static bool was_true(struct truth *truth, uint64_t from, uint64_t to, uint32_t value)
{
	for (uint64_t version = from; version <= to; version++)
		if (atomic_load(&truth->value[version % HISTORY]) == value)
			return true;
	return atomic_load(&truth->begun) >= from + HISTORY; /* written over: nothing can be said */
}

static void *read_on(void *context)
{
	struct reader *reader = context;
	struct attribute_set set;
	while (!atomic_load(&world.stop)) {
		unsigned n = draw(&reader->random, NUMBERS);
		struct truth *truth = &world.truth[n];
		uint64_t from = atomic_load(&truth->done);
		int found = number_table_find(world.region, FIRST + n, &set);
		uint64_t to = atomic_load(&truth->begun);
		bool right = found == 0 ? set_right(&set) : found == -ENOENT;
		reader->looked++;
		reader->wrong += !right || !was_true(truth, from, to, found == 0 ? set.id : 0);
	}
	return NULL;
}

/* --- the writer --- */

static uint32_t expected(unsigned n)
{
	if (world.exact[n])
		return world.exact[n];
	uint32_t set = 0;
	for (size_t i = 0; i < world.range_count; i++) /* sorted: the narrower one comes later */
		if (world.ranges[i].first <= FIRST + n && FIRST + n <= world.ranges[i].last)
			set = world.ranges[i].set;
	return set;
}

static void change_begin(unsigned n)
{
	struct truth *truth = &world.truth[n];
	uint64_t version = atomic_load(&truth->begun) + 1;
	atomic_store(&truth->value[version % HISTORY], expected(n));
	atomic_store(&truth->begun, version);
}

static void change_end(unsigned n)
{
	struct truth *truth = &world.truth[n];
	atomic_store(&truth->done, atomic_load(&truth->begun));
}

static int set_add(struct number_table *table, uint32_t id)
{
	char account[32], header[64];
	snprintf(account, sizeof(account), "account-%u", (unsigned)id);
	snprintf(header, sizeof(header), "%0*u", (int)(id % 40), (unsigned)id * 7);
	return number_table_add_set(table, id, (uint16_t)(id % 4 + 1), span_of(account), span_of(header));
}

static uint32_t set_draw(unsigned *random)
{
	if (draw(random, 4) == 0)
		assert_int_equal(set_add(world.table, ++world.sets), 0);
	return world.sets - draw(random, SETS_FIRST);
}

static void number_change(unsigned *random)
{
	unsigned n = draw(random, NUMBERS);
	world.exact[n] = draw(random, 3) ? set_draw(random) : 0;
	change_begin(n);
	if (world.exact[n])
		assert_int_equal(number_table_put(world.table, FIRST + n, world.exact[n]), 0);
	else
		number_table_delete(world.table, FIRST + n);
	change_end(n);
}

/* Blocks that stand apart, some with a narrower one inside. */
static void ranges_change(unsigned *random)
{
	uint64_t first = FIRST + draw(random, 40);
	for (world.range_count = 0; world.range_count + 2 <= RANGES_MAX && first < FIRST + NUMBERS;) {
		uint64_t last = first + 5 + draw(random, 40);
		world.ranges[world.range_count++] = (struct number_range){first, last, set_draw(random)};
		if (draw(random, 2))
			world.ranges[world.range_count++] = (struct number_range){first + 2, last, set_draw(random)};
		first = last + 1 + draw(random, 20);
	}
	for (unsigned n = 0; n < NUMBERS; n++)
		change_begin(n);
	assert_int_equal(number_table_set_ranges(world.table, world.ranges, world.range_count), 0);
	for (unsigned n = 0; n < NUMBERS; n++)
		change_end(n);
}

static void take(struct number_table *table)
{
	number_table_publish(table);
	number_table_free(world.table);
	world.table = table;
}

/* As an import does: some numbers change at once, with the copy. */
static void copy_publish(unsigned *random)
{
	struct number_table *copy;
	assert_int_equal(number_table_copy(world.table, NUMBERS, &copy), 0);
	for (unsigned n = draw(random, 50); n < NUMBERS; n += 50) {
		assert_int_equal(set_add(copy, ++world.sets), 0);
		world.exact[n] = world.sets;
		assert_int_equal(number_table_put(copy, FIRST + n, world.sets), 0);
	}
	for (unsigned n = 0; n < NUMBERS; n++)
		change_begin(n);
	take(copy);
	for (unsigned n = 0; n < NUMBERS; n++)
		change_end(n);
}

static void rebuild(unsigned *random)
{
	struct number_table *table;
	(void)random;
	assert_int_equal(number_table_new(world.region, NUMBERS, &table), 0);
	for (uint32_t id = 1; id <= world.sets; id++)
		assert_int_equal(set_add(table, id), 0);
	for (unsigned n = 0; n < NUMBERS; n++)
		if (world.exact[n])
			assert_int_equal(number_table_put(table, FIRST + n, world.exact[n]), 0);
	assert_int_equal(number_table_set_ranges(table, world.ranges, world.range_count), 0);
	take(table);
}

static void step(unsigned *random)
{
	unsigned kind = draw(random, 1000);
	if (kind < 890)
		number_change(random);
	else if (kind < 990)
		ranges_change(random);
	else if (kind < 997)
		copy_publish(random);
	else
		rebuild(random);
}

static void test_readers_see_only_what_was_true_meanwhile(void **state)
{
	static struct reader readers[READERS];
	void *memory = unit_region_memory(region_size_min);
	unsigned random = 4711;
	(void)state;
	assert_int_equal(region_format(memory, region_size_min, &world.region), 0);
	assert_int_equal(number_table_new(world.region, 0, &world.table), 0);
	while (world.sets < SETS_FIRST)
		assert_int_equal(set_add(world.table, ++world.sets), 0);
	number_table_publish(world.table);
	for (unsigned i = 0; i < READERS; i++) {
		readers[i].random = i + 1;
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
	}
	for (unsigned i = 0; i < STEPS; i++)
		step(&random);
	atomic_store(&world.stop, true);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		assert_true(readers[i].looked > STEPS / 10);
		assert_int_equal(readers[i].wrong, 0);
	}
	for (unsigned n = 0; n < NUMBERS; n++) {
		struct attribute_set set;
		assert_int_equal(number_table_find(world.region, FIRST + n, &set) ? 0 : set.id, expected(n));
	}
	number_table_free(world.table);
	munmap(memory, region_size_min);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_readers_see_only_what_was_true_meanwhile)};
	return cmocka_run_group_tests_name("number_table_readers", tests, NULL, NULL);
}
