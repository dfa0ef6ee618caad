/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Nanoseconds, and the order of measured values, for the programs of the benchmarks. */
#ifndef TRUNKGATE_BENCH_CLOCK_H
#define TRUNKGATE_BENCH_CLOCK_H

#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static inline int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static inline int clock_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/** The value below which @p share of the sorted values lie. */
static inline double clock_quantile(const double *sorted, size_t count, double share)
{
	return count ? sorted[(size_t)((double)(count - 1) * share + 0.5)] : 0;
}

#endif
