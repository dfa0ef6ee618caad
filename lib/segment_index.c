/* SPDX-License-Identifier: GPL-2.0-or-later */
/** Nested ranges as a static B-tree of segments. */
#include "segment_index.h"

#include <errno.h>
#include <stdatomic.h>

enum { LEAF_SEGMENTS = 5, NODE_KEYS = 16, LEVELS_MAX = 8 };

/* From its start a segment goes up to the next one's; value 0: no range there. Unused places start at UINT64_MAX. */
struct leaf {
	_Atomic uint64_t start[LEAF_SEGMENTS];
	_Atomic uint32_t value[LEAF_SEGMENTS];
	uint32_t unused;
};
_Static_assert(sizeof(struct leaf) == 64, "a leaf is one cache line");

/* Key i is the first start of child i. */
struct node {
	_Atomic uint64_t key[NODE_KEYS];
};

/* The leaves come first, then their parents, and so on; the root is last. */
struct shape {
	uint64_t leaves, bytes;
	uint64_t nodes[LEVELS_MAX], offset[LEVELS_MAX]; /* level 0: the parents of leaves */
	unsigned levels;
};

static struct shape shape_of(uint64_t count)
{
	struct shape shape = {.leaves = (count + LEAF_SEGMENTS - 1) / LEAF_SEGMENTS};

	shape.bytes = shape.leaves * sizeof(struct leaf);
	for (uint64_t below = shape.leaves; below > 1 && shape.levels < LEVELS_MAX; shape.levels++) {
		below = (below + NODE_KEYS - 1) / NODE_KEYS;
		shape.nodes[shape.levels] = below;
		shape.offset[shape.levels] = shape.bytes;
		shape.bytes += below * sizeof(struct node);
	}
	return shape;
}

uint64_t segment_index_size(uint64_t count)
{
	return shape_of(count).bytes;
}

/* A leaf takes its own line and a fifteenth of a node's two, and each level may end in a node that is not full. */
uint64_t segment_index_room(uint64_t bytes)
{
	const uint64_t slack = LEVELS_MAX * sizeof(struct node);
	uint64_t room = bytes < slack ? 0 : (bytes - slack) / 73 * LEAF_SEGMENTS;

	return room < UINT32_MAX ? room : UINT32_MAX;
}

/* --- reading --- */

/* Sorted, so the number of keys that are not greater is the place; no branch to guess wrong. */
static unsigned node_place(const struct node *node, uint64_t e164)
{
	unsigned place = 0;

	for (unsigned i = 0; i < NODE_KEYS; i++)
		place += atomic_load_explicit(&node->key[i], memory_order_relaxed) <= e164;
	return place ? place - 1 : 0;
}

const void *segment_index_leaf(const void *memory, uint64_t count, uint64_t e164)
{
	struct shape shape = shape_of(count);
	const char *base = memory;
	uint64_t at = 0;

	for (unsigned level = shape.levels; level-- > 0;) {
		const struct node *nodes = (const void *)(base + shape.offset[level]);
		uint64_t below = level ? shape.nodes[level - 1] : shape.leaves;
		at = at * NODE_KEYS + node_place(&nodes[at], e164);
		at = at < below ? at : below - 1; /* keys may change meanwhile */
	}
	const void *leaf = base + at * sizeof(struct leaf);
	__builtin_prefetch(leaf);
	return leaf;
}

uint32_t segment_leaf_value(const void *leaf, uint64_t e164)
{
	const struct leaf *l = leaf;
	unsigned place = 0;

	for (unsigned i = 0; i < LEAF_SEGMENTS; i++)
		place += atomic_load_explicit(&l->start[i], memory_order_relaxed) <= e164;
	return place ? atomic_load_explicit(&l->value[place - 1], memory_order_relaxed) : 0;
}

/* --- writing --- */

/* A range ends where the one around it goes on. */
struct flattener {
	struct leaf *leaves;
	uint64_t room, count, last_start;
	const struct segment_source *source;
	struct {
		uint64_t last;
		uint32_t value;
	} open[NUMBER_RANGE_DEPTH];
	unsigned depth;
};

static int segment_add(struct flattener *f, uint64_t start, uint32_t value)
{
	if (f->count && f->last_start == start)
		f->count--; /* a range that begins where another ends */
	if (f->count == f->room)
		return -ENOSPC;
	struct leaf *leaf = &f->leaves[f->count / LEAF_SEGMENTS];
	atomic_store_explicit(&leaf->start[f->count % LEAF_SEGMENTS], start, memory_order_relaxed);
	atomic_store_explicit(&leaf->value[f->count % LEAF_SEGMENTS], value, memory_order_relaxed);
	f->last_start = start;
	f->count++;
	return 0;
}

/* Ends the open ranges that do not reach @p e164. */
static int ranges_close(struct flattener *f, uint64_t e164)
{
	int result = 0;

	while (result == 0 && f->depth && f->open[f->depth - 1].last < e164) {
		uint64_t last = f->open[--f->depth].last;
		result = segment_add(f, last + 1, f->depth ? f->open[f->depth - 1].value : 0);
	}
	return result;
}

static int range_open(struct flattener *f, const struct number_range *range)
{
	int result = ranges_close(f, range->first);

	if (result)
		return result;
	if (range->last < range->first || (f->depth && f->open[f->depth - 1].last < range->last))
		return -EINVAL;
	if (f->depth == NUMBER_RANGE_DEPTH)
		return -E2BIG;
	uint32_t value = f->source->value(f->source->context, range->set);
	f->open[f->depth].last = range->last;
	f->open[f->depth++].value = value;
	return segment_add(f, range->first, value);
}

static void place_clear(struct leaf *leaf, unsigned place)
{
	atomic_store_explicit(&leaf->start[place], UINT64_MAX, memory_order_relaxed);
}

/* First start of child @p i below @p level, or of none. */
static uint64_t first_start(const char *base, const struct shape *shape, unsigned level, uint64_t i)
{
	if (i >= (level ? shape->nodes[level - 1] : shape->leaves))
		return UINT64_MAX;
	const void *child =
		level ? base + shape->offset[level - 1] + i * sizeof(struct node) : base + i * sizeof(struct leaf);
	return atomic_load_explicit((const _Atomic uint64_t *)child, memory_order_relaxed);
}

static void nodes_write(char *base, const struct shape *shape)
{
	for (unsigned level = 0; level < shape->levels; level++) {
		struct node *nodes = (void *)(base + shape->offset[level]);
		for (uint64_t i = 0; i < shape->nodes[level] * NODE_KEYS; i++)
			atomic_store_explicit(&nodes[i / NODE_KEYS].key[i % NODE_KEYS],
					      first_start(base, shape, level, i), memory_order_relaxed);
	}
}

int segment_index_write(void *memory, uint64_t bytes, const struct segment_source *source, uint64_t *count)
{
	struct flattener f = {.leaves = memory, .room = segment_index_room(bytes), .source = source};
	int result = 0;

	for (size_t i = 0; i < source->count && result == 0; i++)
		result = range_open(&f, &source->ranges[i]);
	if (result == 0)
		result = ranges_close(&f, UINT64_MAX);
	if (result)
		return result;
	for (uint64_t i = f.count; i % LEAF_SEGMENTS; i++)
		place_clear(&f.leaves[i / LEAF_SEGMENTS], i % LEAF_SEGMENTS);
	struct shape shape = shape_of(f.count);
	nodes_write(memory, &shape);
	*count = f.count;
	return 0;
}
