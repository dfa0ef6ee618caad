/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * Changes numbers through the worker's socket at a steady rate, and looks whether the table shows them in time.
 *
 * usage: bench_change SOCKET REGION FOLDER RATE SECONDS
 *   REGION  the shared region (/proc/PID/fd/N of Kamailio), read as a SIP worker reads it
 *   FOLDER  where a file is written and synced after each change: what the disk alone takes, in the same run
 *
 * A second thread looks the number up all the time. A look-up is stale if it began after the acknowledgement of a
 * change and did not see it. While the worker says 503 the change is repeated: its wait is from the first attempt on.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "number.h"
#include "number_table.h"
#include "series.h"

enum { VALUES_MAX = 1 << 20, LINE_MAX_BYTES = 4096, SYNC_BYTES = 4096, RETRY_US = 5000, READ_US = 1000 };

static struct {
	const struct region *region;
	uint64_t e164;
	atomic_ullong acknowledged, looked, stale;
	atomic_bool stop;
	double ack[VALUES_MAX], sync[VALUES_MAX];
	size_t count, retries, refused;
} bench;

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

/* The header value is the number of the change. */
static bool shows(uint64_t change)
{
	struct attribute_set set;

	return number_table_find(bench.region, bench.e164, &set) == 0 &&
	       strtoull(attribute_set_header(&set), NULL, 10) >= change;
}

static void *reader(void *unused)
{
	while (!atomic_load(&bench.stop)) {
		uint64_t change = atomic_load(&bench.acknowledged);
		if (change && !shows(change))
			atomic_fetch_add(&bench.stale, 1);
		atomic_fetch_add(&bench.looked, 1);
		usleep(READ_US);
	}
	return unused;
}

static int socket_open(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Returns the code of the answer, or 0 without one. */
static int exchange(int fd, const char *request)
{
	char line[LINE_MAX_BYTES];
	size_t length = 0;
	int code = 0;

	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		return 0;
	while (length < sizeof(line) - 1) {
		ssize_t n = recv(fd, line + length, sizeof(line) - 1 - length, 0);
		if (n <= 0)
			return 0;
		length += (size_t)n;
		if (line[length - 1] == '\n')
			break;
	}
	line[length] = '\0';
	const char *found = strstr(line, "\"code\":");
	if (found)
		code = atoi(found + strlen("\"code\":"));
	if (code != 200 && code != 503 && !bench.refused++)
		fprintf(stderr, "bench_change: %s", line);
	return code;
}

/* Returns false if the worker is gone. */
static bool change(int *fd, const char *path, uint64_t number)
{
	char request[256], text[NUMBER_TEXT_SIZE];

	number_format(bench.e164, text);
	snprintf(request, sizeof(request),
		 "{\"operation\":\"number_set\",\"arguments\":[\"%s\",\"acct-0000\",\"teamsOperatorConnect\",\"%llu\"]}"
		 "\n",
		 text, (unsigned long long)number);
	while (!ended) {
		int code = *fd < 0 ? 0 : exchange(*fd, request);
		if (code == 200)
			return true;
		if (code && code != 503)
			return false;
		bench.retries++;
		usleep(RETRY_US);
		if (code == 0 && *fd >= 0)
			close(*fd);
		if (code == 0)
			*fd = socket_open(path);
	}
	return false;
}

static double synced(int fd)
{
	static const char block[SYNC_BYTES] = {1};
	int64_t start = clock_ns(CLOCK_MONOTONIC);

	if (write(fd, block, sizeof(block)) < 0 || fdatasync(fd) != 0)
		perror("bench_change: fdatasync");
	return (double)(clock_ns(CLOCK_MONOTONIC) - start) / 1e6;
}

static void changes(const char *path, int sync_fd, unsigned rate, unsigned seconds)
{
	int64_t start = clock_ns(CLOCK_MONOTONIC), last = start + seconds * 1000000000ll, next = start;
	int fd = socket_open(path);

	for (uint64_t number = 1; !ended && bench.count < VALUES_MAX && next < last; number++) {
		struct timespec until = {next / 1000000000, next % 1000000000};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		int64_t begun = clock_ns(CLOCK_MONOTONIC);
		if (!change(&fd, path, number))
			break;
		bench.ack[bench.count] = (double)(clock_ns(CLOCK_MONOTONIC) - begun) / 1e6;
		atomic_store(&bench.acknowledged, number);
		if (!shows(number))
			atomic_fetch_add(&bench.stale, 1);
		bench.sync[bench.count++] = synced(sync_fd);
		next += 1000000000ll / rate;
		if (next < clock_ns(CLOCK_MONOTONIC))
			next = clock_ns(CLOCK_MONOTONIC);
	}
	bench.refused = bench.refused ? bench.refused : fd < 0;
	close(fd);
}

static void quantiles_print(const char *name, double *values)
{
	qsort(values, bench.count, sizeof(*values), clock_compare);
	printf("%s_ms_p50 %.4f\n%s_ms_p99 %.4f\n%s_ms_max %.4f\n", name, clock_quantile(values, bench.count, 0.5), name,
	       clock_quantile(values, bench.count, 0.99), name, clock_quantile(values, bench.count, 1));
}

static int region_map(const char *path)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &status) != 0)
		return -1;
	size_t size = (size_t)status.st_size;
	void *memory = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	close(fd);
	if (memory == MAP_FAILED)
		return -1;
	bench.region = region_view(memory, size);
	return bench.region ? 0 : -1;
}

static int sync_open(const char *folder)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/synced", folder);
	return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc != 6)
		return fputs("usage: bench_change SOCKET REGION FOLDER RATE SECONDS\n", stderr), 2;
	int sync_fd = sync_open(argv[3]);
	if (region_map(argv[2]) != 0 || sync_fd < 0)
		return perror("bench_change"), EXIT_FAILURE;
	signal(SIGTERM, end);
	signal(SIGINT, end);
	bench.e164 = series_number(0);
	if (pthread_create(&thread, NULL, reader, NULL))
		return EXIT_FAILURE;
	changes(argv[1], sync_fd, (unsigned)atoi(argv[4]), (unsigned)atoi(argv[5]));
	atomic_store(&bench.stop, true);
	pthread_join(thread, NULL);
	printf("changes %zu\nlookups %llu\nretries %zu\nstale %llu\n", bench.count,
	       (unsigned long long)atomic_load(&bench.looked), bench.retries,
	       (unsigned long long)atomic_load(&bench.stale));
	quantiles_print("ack", bench.ack);
	quantiles_print("fsync", bench.sync);
	return bench.refused ? EXIT_FAILURE : EXIT_SUCCESS;
}
