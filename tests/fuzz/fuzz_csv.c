/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Cut anywhere, a text gives the same rows; every cell lies within it, and every call gets on. */
#include "csv.h"
#include "fuzz.h"

enum { CELLS = 8 };

static uint64_t mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * 0x100000001b3ull;
}

static uint64_t row_sum(uint64_t sum, const struct csv *csv, const struct span *cells, size_t count)
{
	sum = mix(mix(sum, csv->line), count);
	for (size_t i = 0; i < count && i < CELLS; i++) {
		REQUIRE(cells[i].ptr >= csv->text && cells[i].ptr + cells[i].len <= csv->text + csv->length);
		for (size_t k = 0; k < cells[i].len; k++)
			sum = mix(sum, (unsigned char)cells[i].ptr[k]);
	}
	return sum;
}

/* Shows @p step bytes more whenever a row is not whole. */
static uint64_t read_all(const uint8_t *data, size_t size, size_t step)
{
	char *text = malloc(size + 1);
	struct csv csv = {.text = text, .last = size == 0};
	uint64_t sum = 1;
	REQUIRE(text);
	memcpy(text, data, size);
	for (;;) {
		struct span cells[CELLS];
		size_t count = 0, before = csv.at;
		int rc = csv_row(&csv, cells, CELLS, &count);
		if (rc == 0 && csv.last)
			break;
		if (rc == 0) {
			csv.length = size - csv.length > step ? csv.length + step : size;
			csv.last = csv.length == size;
			continue;
		}
		REQUIRE(csv.at > before && csv.at <= csv.length);
		sum = rc > 0 ? row_sum(sum, &csv, cells, count) : mix(sum, csv.line);
	}
	REQUIRE(csv.at == size);
	free(text);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t sum = read_all(data, size, size ? size : 1);
	if (size < CSV_ROW_MAX)
		REQUIRE(read_all(data, size, 3) == sum);
	return 0;
}
