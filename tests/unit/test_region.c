/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "number_table.h"
#include "region.h"
#include "topology.h"

static void test_region_that_nobody_formatted_answers_not_yet(void **state)
{
	void *memory = unit_region_memory(region_size_min);
	const struct region *region = region_view(memory, region_size_min);
	struct attribute_set set;
	struct topology_view view;
	char id[REGION_STORE_ID_SIZE];
	(void)state;
	assert_int_equal(number_table_find(region, 15551230001, &set), -EAGAIN);
	assert_int_equal(number_table_set(region, 1, &set), -EAGAIN);
	assert_int_equal(topology_open(region, &view), -EAGAIN);
	assert_int_equal(number_table_count(region), 0);
	assert_int_equal(region_revision(region, id), 0);
	assert_string_equal(id, "");
	munmap(memory, region_size_min);
}

static void test_region_refuses_too_little_memory_and_another_size(void **state)
{
	size_t size = region_size_min;
	void *memory = unit_region_memory(2 * size);
	struct region *region;
	(void)state;
	assert_int_equal(region_format(memory, size - 1, &region), -EINVAL);
	assert_null(region_view(memory, size - 1));
	assert_int_equal(region_format(memory, size, &region), 0);
	assert_int_equal(region_format(memory, size, &region), 0);
	assert_int_equal(region_format(memory, 2 * size, &region), -EPROTO);
	munmap(memory, 2 * size);
}

static void test_revision_and_store_id_come_back_together(void **state)
{
	void *memory = unit_region_memory(region_size_min);
	struct region *region;
	char id[REGION_STORE_ID_SIZE];
	(void)state;
	assert_int_equal(region_format(memory, region_size_min, &region), 0);
	assert_false(region_published(region));
	region_set_revision(region, "01234567-89ab-4def-8123-456789abcdef", 42);
	assert_true(region_published(region));
	assert_int_equal(region_revision(region, id), 42);
	assert_string_equal(id, "01234567-89ab-4def-8123-456789abcdef");
	munmap(memory, region_size_min);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_region_that_nobody_formatted_answers_not_yet),
		cmocka_unit_test(test_region_refuses_too_little_memory_and_another_size),
		cmocka_unit_test(test_revision_and_store_id_come_back_together),
	};
	return cmocka_run_group_tests_name("region", tests, NULL, NULL);
}
