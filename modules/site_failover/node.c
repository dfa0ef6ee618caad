/* SPDX-License-Identifier: GPL-2.0-or-later */
/** This node: whether it takes new calls while it drains. */
#include "node.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include <core/locking.h>
#include <core/mem/shm_mem.h>

#include "grace.h"
#include "state.h"

static struct node {
	gen_lock_t lock;
	struct grace grace;
} * node;

int node_init(void)
{
	node = shm_malloc(sizeof(*node));
	if (!node)
		return -ENOMEM;
	memset(node, 0, sizeof(*node));
	lock_init(&node->lock);
	return 0;
}

void node_finish(void)
{
	if (node)
		shm_free(node);
	node = NULL;
}

static uint64_t wall_clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool node_is_closed(const struct topology_settings *settings)
{
	if (!settings->draining)
		return false;
	lock_get(&node->lock);
	bool closed = grace_is_over(&node->grace, settings->draining_since_ms, settings->drain_grace_ms,
				    wall_clock_ms(), site_clock_ms());
	lock_release(&node->lock);
	return closed;
}
