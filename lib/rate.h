/* SPDX-License-Identifier: GPL-2.0-or-later */
/** A limit of calls per second as one word: at most that many at once, and on average no more (GCRA). */
#ifndef TRUNKGATE_RATE_H
#define TRUNKGATE_RATE_H

#include <stdbool.h>
#include <stdint.h>

/** May one more pass at @p now_us? Then @p next is the state after it. State 0 is a limit that nobody used yet. */
bool rate_admits(uint64_t state_us, uint32_t per_second, uint64_t now_us, uint64_t *next_us);

#endif
