/* SPDX-License-Identifier: GPL-2.0-or-later */
/** The one function of a fuzzer: libFuzzer or replay.c calls it. It aborts on what must not be. */
#ifndef TRUNKGATE_FUZZ_H
#define TRUNKGATE_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			abort();                                                                                       \
	} while (0)

#endif
