/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Tests of the CSV reader. */
#include "csv.h"
#include "unit.h"

enum { CELLS = 4 };

/* All rows as "line:cell|cell" and faults as "line!fault", each ended by a newline. */
static void read_is(const char *input, const char *expected)
{
	char text[1024], seen[2048] = "";
	struct span cells[CELLS];
	size_t count, used = 0;
	int rc;
	strcpy(text, input);
	struct csv csv = {.text = text, .length = strlen(text), .last = true};
	while ((rc = csv_row(&csv, cells, CELLS, &count)) != 0) {
		used += (size_t)sprintf(seen + used, "%u%s", (unsigned)csv.line, rc > 0 ? ":" : "!");
		if (rc < 0)
			used += (size_t)sprintf(seen + used, "%s", csv.fault);
		for (size_t i = 0; rc > 0 && i < count && i < CELLS; i++)
			used += (size_t)sprintf(seen + used, "%s%.*s", i ? "|" : "", SPAN_ARGS(cells[i]));
		used += (size_t)sprintf(seen + used, "\n");
	}
	assert_string_equal(seen, expected);
}

static void test_csv_reads_rows_with_their_lines(void **state)
{
	(void)state;
	read_is("", "");
	read_is("\n\r\n", "");
	read_is("a,b\n1,2\n", "1:a|b\n2:1|2\n");
	read_is("\xef\xbb\xbf"
		"a,b\r\n\r\n1,2",
		"1:a|b\n3:1|2\n");
	read_is("a,b\n,\n1,\n", "1:a|b\n2:|\n3:1|\n");
}

static void test_csv_takes_quotes_off(void **state)
{
	(void)state;
	read_is("\"a\",\"b \"\"c\"\"\"\n\"x\ny\",z\n1,2\n", "1:a|b \"c\"\n2:x\ny|z\n4:1|2\n");
	read_is("a,\"\"", "1:a|\n");
}

static void test_csv_takes_other_separators(void **state)
{
	(void)state;
	read_is("a;b\n1;2,5\n", "1:a|b\n2:1|2,5\n");
	read_is("a\tb\n1\t2\n", "1:a|b\n2:1|2\n");
	read_is("a,b;c\n", "1:a|b;c\n");
}

static void test_csv_goes_on_behind_a_wrong_row(void **state)
{
	(void)state;
	read_is("a,b\n1,2\"3\n4,5\n", "1:a|b\n2!has a quote inside of a cell that is not in quotes\n3:4|5\n");
	read_is("a,b\n\"1\"x,2\n4,5\n", "1:a|b\n2!has text behind a closing quote\n3:4|5\n");
	read_is("a,b\n\"1,2\n4,5\n", "1:a|b\n2!has a quote that is not closed\n3:4|5\n");
}

static void test_csv_counts_cells_beyond_the_room(void **state)
{
	char text[] = "1,2,3,4,5,6\n";
	struct csv csv = {.text = text, .length = strlen(text), .last = true};
	struct span cells[CELLS];
	size_t count;
	(void)state;
	assert_int_equal(csv_row(&csv, cells, CELLS, &count), 1);
	assert_int_equal(count, 6);
}

static void test_csv_waits_for_a_whole_row(void **state)
{
	char text[] = "a,b\n\"1\n2\",3\n";
	struct csv csv = {.text = text};
	struct span cells[CELLS];
	size_t count, rows = 0;
	(void)state;
	for (csv.length = 0; csv.length <= strlen(text); csv.length++)
		rows += (size_t)csv_row(&csv, cells, CELLS, &count);
	assert_int_equal(rows, 2);
	assert_int_equal(csv.line, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_csv_reads_rows_with_their_lines),
					   cmocka_unit_test(test_csv_takes_quotes_off),
					   cmocka_unit_test(test_csv_takes_other_separators),
					   cmocka_unit_test(test_csv_goes_on_behind_a_wrong_row),
					   cmocka_unit_test(test_csv_counts_cells_beyond_the_room),
					   cmocka_unit_test(test_csv_waits_for_a_whole_row)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
