/* SPDX-License-Identifier: GPL-2.0-or-later */
/**
 * The numbers of the benchmarks; series.py says the same.
 *
 * +49 and nine digits that look drawn at random, each once: blocks of neighbours would flatter prefix trees.
 */
#ifndef TRUNKGATE_BENCH_SERIES_H
#define TRUNKGATE_BENCH_SERIES_H

#include <stdint.h>

enum {
	SERIES_SPACE = 1000000000,
	SERIES_ABSENT = 500000000, /**< from this index on, numbers that no table holds */
	SERIES_SETS = 1000,        /**< attribute sets that the numbers share */
	SERIES_RANGE_STEP = 1000,
	SERIES_NESTED = 10, /**< every tenth range lies inside the one before */
};

static inline uint64_t series_number(uint64_t index)
{
	return 49000000000ull + index * 618033989 % SERIES_SPACE;
}

static inline uint32_t series_set(uint64_t index)
{
	return (uint32_t)(index % SERIES_SETS + 1);
}

/** Ranges lie elsewhere (+44): first number of the block of range @p index. */
static inline uint64_t series_range(uint64_t index)
{
	return 44000000000ull + index * SERIES_RANGE_STEP;
}

/** Finaliser of SplitMix64 over a counter: a fast random number. */
static inline uint64_t series_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

#endif
