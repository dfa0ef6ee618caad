/* SPDX-License-Identifier: GPL-2.0-or-later */
/** What each peer carries. */
#include "load.h"

#include <errno.h>

#include "rate.h"
#include "state.h"

static struct slots *table;

int load_init(void)
{
	table = slots_new((uint32_t)site_state.parameters.targets_max, sizeof(struct load));
	return table ? 0 : -ENOMEM;
}

void load_finish(void)
{
	slots_free(table);
	table = NULL;
}

static void start(void *record)
{
	struct load *load = record;
	lock_init(&load->lock);
}

struct load *load_of(uint32_t peer)
{
	struct slot_key key = {.peer = peer};
	return peer == TOPOLOGY_NONE ? NULL : slots_find_or_make(table, &key, start);
}

static void add(uint32_t *word)
{
	__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
}

static void subtract(uint32_t *word)
{
	uint32_t before = __atomic_load_n(word, __ATOMIC_RELAXED);
	while (before &&
	       !__atomic_compare_exchange_n(word, &before, before - 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* Counted first and looked at then, so that of two calls for the last place only one gets it. */
static bool take_place(struct load *load, uint32_t capacity)
{
	uint32_t trying = __atomic_add_fetch(&load->trying, 1, __ATOMIC_SEQ_CST);
	if (capacity == 0 || trying + __atomic_load_n(&load->live, __ATOMIC_SEQ_CST) <= capacity)
		return true;
	subtract(&load->trying);
	return false;
}

static bool take_rate(struct load *load, uint32_t per_second)
{
	if (per_second == 0)
		return true;
	lock_get(&load->lock);
	bool admitted = rate_admits(&load->rate, per_second, site_clock_us());
	lock_release(&load->lock);
	return admitted;
}

bool load_take(const struct place *place, bool always)
{
	struct load *load = load_of(place->peer);
	if (!load)
		return true;
	if (!take_place(load, always ? 0 : place->capacity))
		return false;
	if (always || take_rate(load, place->calls_per_second))
		return true;
	subtract(&load->trying);
	return false;
}

void load_give(uint32_t peer)
{
	struct load *load = load_of(peer);
	if (load)
		subtract(&load->trying);
}

void load_open(uint32_t peer)
{
	struct load *load = load_of(peer);
	if (load)
		add(&load->calling);
}

void load_close(uint32_t peer)
{
	struct load *load = load_of(peer);
	if (load)
		subtract(&load->calling);
}

void load_begin(uint32_t peer)
{
	struct load *load = load_of(peer);
	if (load)
		add(&load->live);
}

void load_end(uint32_t peer)
{
	struct load *load = load_of(peer);
	if (load)
		subtract(&load->live);
}

void load_sweep(bool (*wanted)(const struct slot_key *key, void *context), void *context)
{
	slots_sweep(table, wanted, context);
}
