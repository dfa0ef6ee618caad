/* SPDX-License-Identifier: GPL-2.0-or-later */
/** An image may hold anything: looking up in it ends, and stays in the region. */
#include <string.h>
#include <sys/mman.h>

#include "fuzz.h"
#include "number_table.h"

/* The first bytes are the sizes, the rest is repeated to fill the parts. */
static void part_fill(struct number_table *table, const struct number_image *image, enum number_image_part part,
		      const uint8_t *data, size_t size)
{
	char *room = number_image_room(table, part);
	for (uint64_t at = 0; size && at < image->size[part]; at++)
		room[at] = (char)data[(at + part) % size];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct region *region;
	struct number_image image = {0};
	struct number_table *table;
	struct attribute_set set;
	if (!region) {
		void *memory = mmap(NULL, region_size_min, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		REQUIRE(memory != MAP_FAILED && region_format(memory, region_size_min, &region) == 0);
	}
	for (unsigned part = 0; part < NUMBER_IMAGE_PARTS && part < size; part++)
		image.size[part] = (uint64_t)data[part] * (part == 0 ? 64 : 8);
	if (number_image_new(region, &image, &table))
		return 0;
	for (unsigned part = 0; part < NUMBER_IMAGE_PARTS; part++)
		part_fill(table, &image, part, data, size);
	number_image_end(table, &image);
	number_table_publish(table);
	for (uint64_t e164 = 0; e164 < 100; e164++)
		if (number_table_find(region, e164, &set) == 0)
			REQUIRE(strlen(set.account) <= FIELD_NAME_MAX &&
				strlen(attribute_set_header(&set)) <= FIELD_NAME_MAX);
	number_table_put(table, 4420, 1);
	number_table_delete(table, 4420);
	number_table_free(table);
	return 0;
}
