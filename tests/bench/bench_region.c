/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Fills a memfd as trunkgate-worker does, and says what that cost. Kamailio then maps the same memfd.
 *
 * usage: bench_region shared|unique|ranges PATH COUNT RANGES   a number table; shared is built twice (rebuild)
 *        bench_region lines PATH BYTES                         cache lines that are not zero
 *        bench_region wait PATH COUNT                          until a worker published COUNT numbers; prints the
 * moment
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "number_table.h"
#include "series.h"

enum { BLOCK_BYTES = 512 };

struct filling {
	struct region *region;
	int fd;
	uint64_t count, ranges;
	bool unique; /* each number has a header value of its own */
};

static int fail(const char *what, int error)
{
	fprintf(stderr, "bench_region: %s: %s\n", what, strerror(error));
	return EXIT_FAILURE;
}

static double seconds(int64_t from)
{
	return (double)(clock_ns(CLOCK_MONOTONIC) - from) / 1e9;
}

static double resident(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 ? (double)status.st_blocks * BLOCK_BYTES : 0;
}

/* Account and header value of nine characters each: the bytes of a set are those of its texts, rounded up. */
static int set_add(struct number_table *table, uint32_t id)
{
	char account[32], header[32];

	snprintf(account, sizeof(account), "acct-%04u", (unsigned)(id % SERIES_SETS));
	snprintf(header, sizeof(header), "%09u", (unsigned)id);
	return number_table_add_set(table, id, 1, span_of(account), span_of(header));
}

static int numbers_put(const struct filling *filling, struct number_table *table)
{
	int rc = 0;

	for (uint32_t id = 1; rc == 0 && id <= SERIES_SETS; id++)
		rc = set_add(table, id);
	for (uint64_t i = 0; rc == 0 && i < filling->count; i++) {
		uint32_t id = filling->unique ? SERIES_SETS + 1 + (uint32_t)i : series_set(i);
		if (filling->unique)
			rc = set_add(table, id);
		if (rc == 0)
			rc = number_table_put(table, series_number(i), id);
	}
	return rc;
}

/* Blocks of 1,000, every tenth one of 100 inside the block before. */
static int ranges_put(const struct filling *filling, struct number_table *table)
{
	struct number_range *ranges = calloc(filling->ranges + 1, sizeof(*ranges));

	if (!ranges)
		return -ENOMEM;
	for (uint64_t i = 0; i < filling->ranges; i++) {
		bool nested = i % SERIES_NESTED == SERIES_NESTED - 1;
		uint64_t first = nested ? series_range(i - 1) + 100 : series_range(i);
		uint64_t last = first + (nested ? 99 : SERIES_RANGE_STEP - 1);
		ranges[i] = (struct number_range){.first = first, .last = last, .set = series_set(i)};
	}
	int rc = number_table_set_ranges(table, ranges, filling->ranges);
	free(ranges);
	return rc;
}

/* Prints `prefix`build_s, and the peak: before the swap, the table in use is still there. */
static int table_build(const struct filling *filling, const char *prefix)
{
	int64_t start = clock_ns(CLOCK_MONOTONIC);
	struct number_table *table;
	int rc = number_table_new(filling->region, filling->count, &table);

	if (rc)
		return rc;
	rc = numbers_put(filling, table);
	if (rc == 0 && filling->ranges)
		rc = ranges_put(filling, table);
	if (rc == 0) {
		double peak = resident(filling->fd);
		number_table_publish(table);
		printf("%sbuild_s %.6f\n%speak_bytes %.0f\n%sbytes %.0f\n", prefix, seconds(start), prefix, peak,
		       prefix, resident(filling->fd));
	}
	number_table_free(table);
	return rc;
}

static void *map(int fd, size_t size)
{
	void *memory = ftruncate(fd, (off_t)size) == 0
			       ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0)
			       : MAP_FAILED;

	return memory == MAP_FAILED ? NULL : memory;
}

static int table_fill(const char *layout, int fd, uint64_t count, uint64_t ranges)
{
	struct filling filling = {.fd = fd, .count = count};
	void *memory = map(fd, region_size_default);
	int rc = memory ? region_format(memory, region_size_default, &filling.region) : -errno;

	filling.unique = strcmp(layout, "unique") == 0;
	filling.ranges = strcmp(layout, "ranges") == 0 ? ranges : 0;
	if (rc == 0)
		rc = table_build(&filling, "");
	if (rc == 0 && strcmp(layout, "shared") == 0)
		rc = table_build(&filling, "re");
	return rc ? fail(layout, -rc) : EXIT_SUCCESS;
}

static int lines_fill(int fd, size_t bytes)
{
	char *memory = bytes ? map(fd, bytes) : NULL;

	if (!memory)
		return fail("lines", errno);
	memset(memory, 1, bytes);
	return EXIT_SUCCESS;
}

/* Prints the nanoseconds of CLOCK_MONOTONIC at which the table was there. */
static int table_wait(int fd, uint64_t count)
{
	const struct timespec pause = {.tv_nsec = 100000};
	const struct region *region = region_view(map(fd, region_size_default), region_size_default);

	while (number_table_count(region) != count)
		nanosleep(&pause, NULL);
	printf("published_ns %lld\n", (long long)clock_ns(CLOCK_MONOTONIC));
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	int fd = argc >= 4 ? open(argv[2], O_RDWR | O_CLOEXEC) : -1;
	uint64_t count = argc >= 4 ? strtoull(argv[3], NULL, 10) : 0;

	if (argc >= 4 && fd < 0)
		return fail(argv[2], errno);
	if (argc == 4 && strcmp(argv[1], "lines") == 0)
		return lines_fill(fd, count);
	if (argc == 4 && strcmp(argv[1], "wait") == 0)
		return table_wait(fd, count);
	if (argc == 5)
		return table_fill(argv[1], fd, count, strtoull(argv[4], NULL, 10));
	fputs("usage: bench_region LAYOUT PATH COUNT RANGES | lines PATH BYTES | wait PATH COUNT\n", stderr);
	return 2;
}
