/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What every unit test includes: cmocka needs its headers in this order. */
#ifndef TRUNKGATE_UNIT_H
#define TRUNKGATE_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/** Zeroed memory for a region that takes pages only where they are written. */
static inline void *unit_region_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

#endif
